"""Prose about the people of the world: each story is a list of templates, one per sentence.

Whatever a sentence says of a person, a country, an animal or the calendar is read from the
world's rows, so no story can contradict them; the rest is chance.
"""

from tools.tinyworld.page import Page

Story = tuple[str, ...]

_BIOGRAPHY: Story = (
    "<{person1.full} comes from {person1.land.name}.|{person1.full} is a {trait} "
    "{person1.job.name} from {person1.land.name}.>",
    "<{person1.full} was born in {person1.month.name}.|{person1.He} was born in "
    "{person1.month.name}, when it was {sky}.>",
    "<{person1.full}|{person1.He}> works as a {person1.job.name}<| in the {person1.job.place}>.",
    "<Every day {person1.he} {person1.job.work}.|With a {person1.job.tool} {person1.he} "
    "{person1.job.work}.|{person1.He} {often} {person1.job.work} {where}.>",
    "<{person1.first} has a pet {person1.pet.name} called {person1.pet_name}.|{person1.full} has "
    "a pet {person1.pet.name}. The name of the {person1.pet.name} is {person1.pet_name}.>",
    "{habit}",
    "<{person1.first} speaks {person1.land.language}|As a child {person1.he} learned "
    "{person1.land.language}> and {like.third} {person1.land.dish}.",
    "<{habit}|{happening}>",
    "<|{happening}|{habit}>",
)

_WORKDAY: Story = (
    "<{When}|On {day1.name}>, {person1.first} the {person1.job.name} went to the "
    "{person1.job.place}.",
    "{person1.He} took {person1.his} {person1.job.tool} and {handle.past} {np}.",
    "{happening}",
    "<A {person1.job.name} {person1.job.work}, and {person1.first} is a {trait} "
    "{person1.job.name}.|Nobody else {person1.job.work} as {how} as {person1.first}.>",
    "{happening}",
    "<But where was the {person1.job.tool}? Without the {person1.job.tool} a {person1.job.name} "
    'cannot work.|{Who} asked: "{Ask}?">',
    "{happening}",
    "In the {part}, {person1.first} {travel.past} home to {person1.pet_name}, {person1.his} "
    "{person1.pet.name}, and was {mood}.",
)

_GIFT: Story = (
    "<When|After|While> {person1.first} and {person2.first} <went|{travel.past}> to the {place1}, "
    "<{person1.first} gave a {thing1} to {person2.first}|{person2.first} gave a {thing1} to "
    "{person1.first}>.",
    "<The {thing1} was {degree} {quality}.|It was a {quality} {material} {thing1}.>",
    "Then {person1.first} and {person2.first} met {person3.first} {where}.",
    "<{person3.first} had a {thing2}, {person1.first} had a {thing1}, and {person2.first} had "
    "nothing.|{person2.first} showed the {thing1} to {person3.first}.>",
    "<Later {person3.first} and {person1.first} left the {place1}, and {person3.first} gave the "
    "{thing2} to {person1.first}.|Later {person2.first} and {person3.first} left the {place1}, and "
    "{person2.first} gave the {thing1} to {person3.first}.>",
    '"<{Cry}|Thank you>, {person2.first}!" {say.past} {person3.first}.',
    "<{person1.first} {act.past}, {person2.first} {act.past}, and {person3.first} {act.past}.|"
    "Neither {person1.first} nor {person2.first} {handle.past} the {thing2}.>",
    "{happening}",
    "<In the end {person1.first} was {mood}, but {person2.first} was {mood}.|So the {thing1} "
    "stayed {where}, and the {thing2} too.>",
)

_LOST_PET: Story = (
    "{When}, {person1.first} could not find {person1.pet_name}, {person1.his} {quality} "
    "{person1.pet.name}.",
    '"{person1.pet_name}! {person1.pet_name}!" {person1.he} {say.past}<| {how}>.',
    "{person1.He} looked {where}, {where} and {where}, but there was no {person1.pet.name}.",
    "{happening}",
    "Then {person1.he} heard a {person1.pet.sound} <{where}|from the {place}>.",
    "<The sound a {person1.pet.name} makes is a {person1.pet.sound}, so it had to be "
    "{person1.pet_name}.|Only a {person1.pet.name} makes such a {person1.pet.sound}!>",
    "{person1.pet_name} was eating {person1.pet.food} <and was not {mood} at all|{how}>.",
    "{person1.first} carried {person1.pet_name} home, and {person1.pet_name} {act.past}.",
    "<|{happening}>",
)

_TRAVEL: Story = (
    "<Dear reader, this month I am in {country1.name}.|Travel notes from {country1.name}.|"
    "{When}, we arrived in {country1.name}.>",
    "<{country1.name} lies in the {country1.region}.|The capital of {country1.name} is "
    "{country1.capital}, and the {vehicle.many} there are {quality}.>",
    "<The people of {country1.name} speak {country1.language}, which sounds {quality}.|The "
    "{country1.adjective} people are {trait} and speak {country1.language}.>",
    "<In {country1.capital} I {handle.past} a {quality} {thing} for {number} {country1.coin} "
    "coins.|The coin of {country1.name} is the {country1.coin}, and a {food} costs {number} of "
    "them.>",
    "<We {travel.past} along the {country1.river}, the river of {country1.name}.|The river of "
    "{country1.name} is the {country1.river}; beside it there are {quality} {place.many}.>",
    "<The {country1.adjective} {place} is {quality}.|There is a {quality} {place} {where}.>",
    "<For dinner there was {country1.dish}, the favourite dish of {country1.name}.|Everybody here "
    "eats {country1.dish}, and I {like} it too.>",
    "<From {country1.capital} we took the {vehicle} to {country1.port}, a {quality} port.|The "
    "largest port of {country1.name} is {country1.port}, where the {stranger.many} {act}.>",
    "<The weather was {sky1} and {sky2}.|It was {degree} {sky1}, but not {sky2}.>",
)

_LETTER: Story = (
    "{country1.capital}, the {date} of {month1.name}\n\nDear {person2.first},\n\n"
    "<Thank you for your {quality} letter.|I hope you are not {mood}.|How are you and "
    "{person2.pet_name}?>",
    "<Yesterday|Last week|On {day.name}> I {handle.past} a {quality} {thing} {where}.",
    "Here in {country1.capital}, the capital of {country1.name}, it is {sky} and I am {mood}.",
    "{Plan}.",
    "<Is {person2.land.name} still {sky} in {month1.name}?|Do you still work as a "
    "{person2.job.name}?|Does your {person2.pet.name} still like {person2.pet.food}?>",
    "<{Plan}, and {plan}.|{Ask}?>",
    "My {person1.pet.name} {person1.pet_name} {act.third} <every {part}|{how}>.",
    "<Please write soon.|Do not forget me.|Please send me a {thing}.>\n\nYour "
    "<{relative}|friend>,\n{person1.full}",
)

_DIALOGUE: Story = (
    '"{Ask}, {person2.first}?" asked {person1.first}<| {how}>.',
    '<{person2.first} {say.past}: "{Reply}"|"{Reply}" {person2.first} {act.past} {how}.>',
    '"But {plan}," {say.past} {person1.first}.',
    "<{person2.first} {act.past}.|{person1.first} looked at {person2.first} and {act.past}.>",
    '"<{Ask}|Are you a {person2.job.name} or a {job.name}>?"',
    '"<I am a {person2.job.name}, as you know. {Plan}.|{Reply}>"',
    '"{Cry}!" {say.past} {person1.first}, {degree} {mood}.',
    '<"{Ask}?" "{Reply}"|Then {person2.first} {say.past}: "{Plan}.">',
    '<"{Reply}"|"Goodbye, {person1.first}!" "Goodbye, {person2.first}!">',
)

_INTERVIEW: Story = (
    "Reporter: Good {part}, {person1.full}! Where do you come from?\n",
    "{person1.first}: I come from {person1.land.name}. {Plan}.\n",
    "Reporter: And what is your profession?\n",
    "{person1.first}: I work as a {person1.job.name}. A {person1.job.name} {person1.job.work}.\n",
    "Reporter: {Ask}?\n",
    "{person1.first}: {Reply}\n",
    "Reporter: Do you have a pet?\n",
    "{person1.first}: Yes, I have a pet {person1.pet.name} called {person1.pet_name}. It eats "
    "{person1.pet.food}.\n",
    "Reporter: {Cry}! {Ask}?\n",
    "{person1.first}: {Reply} My birthday is in {person1.month.name}.",
)

_FABLE: Story = (
    "Once upon a time a {animal1.name} and a {animal2.name} lived near a {place}.",
    "<The {animal1.name} ate {animal1.food} and the {animal2.name} ate {animal2.food}.|The "
    "{animal1.name} was {trait}, but the {animal2.name} was {trait}.>",
    '"Why do you always {act1}?" asked the {animal1.name}.',
    '"I {act1} because I am {mood}," {say.past} the {animal2.name}. "I need {animal2.food}!"',
    "<With a {animal1.sound} the {animal1.name} {travel.past} {towards}.|The {animal1.name} gave a "
    "{animal1.sound}, and the {animal2.name} gave a {animal2.sound}.>",
    "<The {animal1.young} of the {animal1.name} {act.past}, for a {animal1.young} is {degree} "
    "{mood}.|A {animal2.young}, the child of the {animal2.name}, {handle.past} a {thing}.>",
    "{When}, the {animal2.name} went back to the {animal2.home}, and the {animal1.name} "
    "to the {animal1.home}.",
    "<The lesson of this story: be {trait1}, not {trait2}.|So a {trait1} {animal1.name} is better "
    "than a {trait2} {animal2.name}.>",
)

_DIARY: Story = (
    "{Day1.name}, <{sky1}|{sky1} and {sky2}>.",
    "Today is {day1.name}, so yesterday was {day1.before} and tomorrow will be {day1.after}.",
    "I {handle.past} my {thing} and {travel.past} {towards}.",
    "<I met {person1.first}, who {person1.job.work}.|{person1.full} came by with "
    "{person1.pet_name} the {person1.pet.name}.>",
    "{happening}",
    "{Plan}.",
    "<Now I am {mood1} and {mood2}.|I do not know why I am so {mood}.>",
    "On {day1.after} {plan}.",
)

_RECIPE: Story = (
    "How to make a {taste} {food1}\n\nTake {number} {food.many}, {number} spoons of "
    "{ingredient1} and a cup of {ingredient2}.",
    "First {cook} the {ingredient1} in a {quality} {thing}.",
    "Then {cook} the {food.many} and add the {ingredient2}.",
    "<Do not {cook} it for more than {number} minutes.|{Cook} everything {how} for {number} "
    "minutes.>",
    "Finally {cook} the {food1} until it is {taste} and {colour}.",
    "<Serve it with {drink} and {taste} {food.many}.|{Cook} it again if it is not {taste}.>",
    "<{person1.full}, a {trait} {person1.job.name}, likes it {taste}.|In {country1.name} people "
    "prefer {country1.dish}.>",
)

_FORECAST: Story = (
    "Weather for {day1.name}<| and {day1.after}>: in the morning it will be {sky} in "
    "{country1.capital} and {sky} in {country1.port}.",
    "{country1.name} stays {sky}, but {country2.name} <will be|becomes> {sky} <in the {part}|after "
    "{number} o'clock>.",
    "The {country1.river} is {quality}, so the {vehicle.many} of {country1.capital} cannot "
    "{travel}.",
    "{month1.name} is a {month1.season} month, and in {month1.season} it is {often} {sky}.",
    "<Take a {clothing} and a {thing} with you.|Nobody should {travel} {towards}.>",
    "On {day1.after} it will be {sky1}, not {sky2}.",
    "<|The {creature.many} {act}.|The {stranger.many} of {country2.capital}, the capital of "
    "{country2.name}, are {mood}.>",
)

_SCENE: Story = ("{person1.first} was {degree} {mood} {when}.", *["{happening}"] * 6)

_PORTRAIT: Story = (
    "This is {person1.full}, a {person1.job.name}.",
    *["{habit}"] * 5,
    "<{happening}|A {person1.job.name} works in a {person1.job.place}, and {person1.first} works "
    "there too.>",
)

STORIES: tuple[Story, ...] = (
    _BIOGRAPHY,
    _WORKDAY,
    _GIFT,
    _LOST_PET,
    _TRAVEL,
    _LETTER,
    _DIALOGUE,
    _INTERVIEW,
    _FABLE,
    _DIARY,
    _RECIPE,
    _FORECAST,
    _SCENE,
    _PORTRAIT,
)


def tell(page: Page) -> str:
    """Write one story of a kind chosen by the page's random stream."""
    sentences = [page.write(sentence) for sentence in page.rng.choice(STORIES)]
    # An alternative may be empty, and a sentence may bring its own line break.
    return " ".join(filter(None, sentences)).replace("\n ", "\n")
