"""Copies that nobody waits for: their order, and what a processor does not copy."""

import torch

from ingest.forward.transfers import HostCopies, HostCopy, copy_to

CPU = torch.device("cpu")


def test_a_processor_copies_nothing() -> None:
    tensor = torch.arange(3)
    assert copy_to(tensor, CPU) is tensor
    copy = HostCopy([tensor])
    assert copy.has_arrived
    assert copy.wait()[0] is tensor


def test_results_come_in_their_order_and_the_newest_stay_under_way() -> None:
    copies: HostCopies[str] = HostCopies(behind=2)
    sent = {name: torch.full((2,), number) for number, name in enumerate("abcde")}
    taken: list[tuple[str, torch.Tensor]] = []
    for n_sent, (name, tensor) in enumerate(sent.items(), start=1):
        copies.send(name, [tensor])
        taken += [(of, one) for of, (one,) in copies.take()]
        assert len(taken) == max(0, n_sent - 2)
    taken += [(of, one) for of, (one,) in copies.take(everything=True)]
    assert [of for of, _ in taken] == list(sent)
    assert all(one is sent[of] for of, one in taken)
    assert list(copies.take(everything=True)) == []
