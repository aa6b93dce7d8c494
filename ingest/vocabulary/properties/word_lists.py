"""Word classes of English, written down by hand: short, and without words of two meanings."""

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FIRST_PERSON: Final = _words(
    "i me my mine myself we us our ours ourselves i'm i've i'd i'll we're we've we'd we'll"
)
SECOND_PERSON: Final = _words(
    "you your yours yourself yourselves you're you've you'd you'll thou thee thy thine"
)
SHE: Final = _words("she her hers herself she's she'd she'll")
HE: Final = _words("he him his himself he's he'd he'll")
PRONOUNS: Final = (
    FIRST_PERSON
    | SECOND_PERSON
    | SHE
    | HE
    | _words(
        "it its itself it's it'd it'll they them their theirs themselves themself they're they've "
        "they'd they'll one's oneself someone somebody something anyone anybody anything everyone "
        "everybody everything nobody"
    )
)
DETERMINERS: Final = _words(
    "the a an this that these those each every either neither some any no all both half several "
    "many much few fewer enough another other such what which whose"
)
PREPOSITIONS: Final = _words(
    "of in on at by for with from to into onto upon about above across after against along amid "
    "among amongst around as before behind below beneath beside besides between beyond despite "
    "down during except inside like near off out outside over past per since through throughout "
    "till toward towards under underneath unlike until up via within without"
)
CONJUNCTIONS: Final = _words(
    "and or but nor so yet for because although though while whereas if unless until since when "
    "whenever where wherever whether that than as lest provided"
)
AUXILIARIES: Final = _words(
    "be am is are was were been being have has had having do does did can could may might must "
    "shall should will would ought isn't aren't wasn't weren't haven't hasn't hadn't don't doesn't "
    "didn't can't cannot couldn't mustn't shouldn't won't wouldn't"
)
NEGATIONS: Final = _words(
    "no not never none nothing nobody nowhere neither nor n't without cannot isn't aren't wasn't "
    "weren't haven't hasn't hadn't don't doesn't didn't can't couldn't mustn't shouldn't won't "
    "wouldn't"
)
QUESTION_WORDS: Final = _words(
    "who whom whose what which when where why how whoever whatever whichever whenever wherever "
    "however who's what's where's how's why's"
)
NUMBER_WORDS: Final = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "hundred hundreds thousand thousands million millions billion billions trillion trillions "
    "dozen dozens"
)
ORDINALS: Final = _words(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth fortieth "
    "fiftieth sixtieth seventieth eightieth ninetieth hundredth thousandth millionth"
)
MONTHS: Final = _words(  # not Mar: a name and a verb
    "january february march april may june july august september october november december "
    "jan feb apr jun jul aug sep sept oct nov dec"
)
WEEKDAYS: Final = _words(  # not Sun and Sat, which are words
    "monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays "
    "thursdays fridays saturdays sundays mon tue tues wed thu thur thurs fri"
)
COLOURS: Final = _words(
    "red orange yellow green blue purple violet pink brown black white grey gray silver gold "
    "golden turquoise cyan magenta crimson scarlet maroon beige indigo teal reddish greenish "
    "bluish yellowish colour colours color colors coloured colored"
)
COUNTRIES: Final = _words(  # of one word; not Turkey, Chad, Jordan, Georgia, Guinea
    "afghanistan albania algeria angola argentina armenia australia austria azerbaijan bahrain "
    "bangladesh belarus belgium bolivia bosnia botswana brazil bulgaria cambodia cameroon canada "
    "chile china colombia congo croatia cuba cyprus czechia denmark ecuador egypt england estonia "
    "ethiopia fiji finland france gabon germany ghana greece guatemala haiti honduras hungary "
    "iceland india indonesia iran iraq ireland israel italy jamaica japan kazakhstan kenya korea "
    "kuwait laos latvia lebanon liberia libya lithuania luxembourg madagascar malaysia mali malta "
    "mexico moldova mongolia morocco mozambique myanmar namibia nepal netherlands nicaragua niger "
    "nigeria norway oman pakistan panama paraguay peru philippines poland portugal qatar romania "
    "russia rwanda scotland senegal serbia singapore slovakia slovenia somalia spain sudan sweden "
    "switzerland syria taiwan tanzania thailand tunisia uganda ukraine uruguay uzbekistan "
    "venezuela vietnam wales yemen zambia zimbabwe"
)
FIRST_NAMES: Final = _words(  # not those that are words or surnames too: Mark, Rose, Will, James
    "adam alex alice amanda amy andrea andrew angela anna anne anthony barbara ben benjamin brian "
    "carlos carol caroline charlie charlotte chris christina christopher claire clara daniel david "
    "deborah diana edward elena elizabeth ella emily emma eric eva felix fred george hannah helen "
    "henry isabella jack jacob jane jason jennifer jessica joan joe john jonathan jose joseph "
    "joshua juan julia julie karen kate kevin laura leo leon lily linda lisa lucas lucy luis luke "
    "maria marie martha mary matthew max megan mia michael michelle mohammed molly nancy natalie "
    "nicholas nicole nina noah nora oliver olivia oscar patricia paul pedro peter philip rachel "
    "rebecca richard robert sam samuel sara sarah sophia sophie stephanie stephen steven sue susan "
    "teresa thomas tim timmy timothy tom tommy victoria vincent william zoe"
)
OPERATORS: Final = _words(
    "== != === !== <= >= <> -> => <- :: := += -= *= /= %= &= |= ^= ++ -- && || ?? ?. ** // << >> "
    "/* */ /** <!-- --> </ /> () [] {} (); ); }; }) }); ]) ]; (( )) [[ ]] {{ }} ${ #{ @{ $( ... .."
)
