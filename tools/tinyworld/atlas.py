"""The little world itself: its countries, animals, trades, people and calendar, fixed for good.

No seed touches anything here. Every row is checked by the tests: names are unique, and what
one row says of another exists.
"""

from dataclasses import dataclass

from tools.tinyworld.words import separated


@dataclass(frozen=True)
class Country:
    """An invented country and what is true of it."""

    name: str
    adjective: str
    language: str
    capital: str
    port: str
    river: str
    coin: str
    dish: str
    region: str


@dataclass(frozen=True)
class Animal:
    """A kind of animal: the noun for its sound, what it eats, where it lives, its young."""

    name: str
    sound: str
    food: str
    home: str
    young: str


@dataclass(frozen=True)
class Job:
    """A profession, where it is done, with what, and what it does (`bakes bread`)."""

    name: str
    place: str
    tool: str
    work: str


@dataclass(frozen=True)
class Day:
    """A day of the week between its neighbours."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Month:
    """A month between its neighbours, its season and its number of days (28 in February)."""

    name: str
    before: str
    after: str
    season: str
    days: int


@dataclass(frozen=True)
class Person:
    """Somebody of the world; `job`, `land` and `pet` are the rows they refer to."""

    first: str
    last: str
    he: str
    job: Job
    land: Country
    pet: Animal
    pet_name: str
    month: Month

    @property
    def full(self) -> str:
        """First and last name."""
        return f"{self.first} {self.last}"

    @property
    def him(self) -> str:
        """Object pronoun."""
        return "him" if self.he == "he" else "her"

    @property
    def his(self) -> str:
        """Possessive pronoun."""
        return "his" if self.he == "he" else "her"


def _rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]


COUNTRIES = tuple(
    Country(*row)
    for row in _rows("""
Norvelia | Norvelian  | Orskan  | Tarsk   | Brenholm | Isk   | krell  | salmon stew    | north
Velmora  | Velmoran   | Velmi   | Quillon | Sandry   | Arve  | florin | plum dumplings | east
Drundel  | Drundish   | Hestic  | Grimley | Hask     | Tolm  | groat  | barley soup    | west
Calandria| Calandrian | Lusian  | Mirova  | Sella    | Duro  | sol    | lemon rice     | south
Tolvania | Tolvanian  | Bresk   | Ondrava | Karsin   | Vesla | talen  | cabbage rolls  | east
Zambara  | Zambaran   | Ambari  | Keshet  | Lumo     | Zuri  | bead   | peanut curry   | south
Ishira   | Ishiran    | Nakoto  | Hanami  | Soji     | Mizu  | yori   | noodle broth   | east
Fennmar  | Fennish    | Suolic  | Lapsin  | Vardo    | Kemi  | penning| rye bread      | north
Umbrada  | Umbradan   | Sorvic  | Lutz    | Porto Gil| Tesin | scudo  | tomato pie     | south
Kortland | Kortish    | Dahlic  | Weldam  | Zeehaven | Maar  | gulden | cheese pancakes| west
Askelon  | Askeli     | Tamric  | Jessur  | Yaffir   | Oront | shekar | bean salad     | south
Wexmoor  | Wexish     | Cornic  | Penwick | Saltby   | Tammer| crown  | mutton pie     | west
Marquenta| Marquentan | Galli   | Beaulac | Corvais  | Loiret| franco | onion tart     | west
Sarobia  | Sarobian   | Farsic  | Dushan  | Barakh   | Amu   | dirhan | saffron lamb   | east
Lindora  | Lindoran   | Silvan  | Avalen  | Silverton| Luin  | petal  | honey cakes    | north
Graustein| Grausteiner| Alman   | Falkenau| Nordhof  | Elde  | taler  | pork sausages  | west
Oquira   | Oquiran    | Pachic  | Pachamar| Chiqua   | Urubo | condor | corn porridge  | south
Belmarra | Belmarran  | Irdish  | Kilbrae | Dunmore  | Shanna| punt   | potato bread   | north
Sundara  | Sundaran   | Malati  | Jepura  | Bandok   | Musi  | rupia  | coconut fish   | south
Yaroth   | Yarothi    | Khalic  | Ulandor | Tesh     | Selen | tugrim | goat yogurt    | east
Petrovia | Petrovian  | Slavna  | Zelgrad | Morskoy  | Volna | kopra  | beet soup      | north
Tamaro   | Tamaran    | Raroic  | Rotunga | Whangar  | Wairo | shell  | baked yams     | islands
Isola    | Isolan     | Siccan  | Palermi | Catana   | Salso | grano  | olive pasta    | islands
Hollin   | Hollish    | Gaelan  | Stornby | Ullapol  | Nesk  | thane  | oat porridge   | islands
Quenda   | Quendan    | Kwelic  | Mbarani | Durbo    | Limpo | randel | pumpkin stew   | south
Jastria  | Jastrian   | Wendic  | Vindobor| Lenz     | Donara| heller | apple strudel  | centre
Helvana  | Helvanan   | Romansic| Bernfeld| Luzen    | Reuze | rappen | melted cheese  | centre
Monteluna| Montelunan | Ladin   | Serrano | Chiara   | Piave | luno   | polenta        | centre
""")
)

ANIMALS = tuple(
    Animal(*row)
    for row in _rows("""
dog     | bark   | bones   | kennel  | puppy
cat     | meow   | fish    | basket  | kitten
cow     | moo    | grass   | barn    | calf
horse   | neigh  | hay     | stable  | foal
sheep   | bleat  | clover  | meadow  | lamb
goat    | baa    | leaves  | hillside| kid
hen     | cluck  | corn    | coop    | chick
duck    | quack  | weeds   | pond    | duckling
goose   | honk   | barley  | farmyard| gosling
pig     | grunt  | turnips | sty     | piglet
lion    | roar   | meat    | savanna | cub
wolf    | howl   | deer    | forest  | whelp
fox     | yelp   | rabbits | den     | kit
bear    | growl  | honey   | cave    | cub
owl     | hoot   | mice    | hollow  | nestling
frog    | croak  | flies   | marsh   | tadpole
mouse   | squeak | cheese  | hole    | pinky
bee     | buzz   | nectar  | hive    | grub
elephant| trumpet| bananas | jungle  | calf
snake   | hiss   | eggs    | desert  | hatchling
parrot  | squawk | seeds   | cage    | chick
crow    | caw    | worms   | nest    | fledgling
rabbit  | thump  | carrots | burrow  | bunny
donkey  | bray   | thistles| paddock | foal
monkey  | chatter| nuts    | treetop | baby
seal    | yap    | squid   | beach   | pup
whale   | song   | shrimps | sea     | calf
turkey  | gobble | acorns  | yard    | poult
pigeon  | coo    | crumbs  | loft    | squab
cricket | chirp  | lettuce | thicket | nymph
""")
)

JOBS = tuple(
    Job(*row)
    for row in _rows("""
baker     | bakery      | rolling pin   | bakes bread
carpenter | workshop    | saw           | builds tables
doctor    | hospital    | thermometer   | heals the sick
teacher   | school      | blackboard    | explains grammar
farmer    | field       | plough        | grows wheat
sailor    | ship        | compass       | crosses the sea
nurse     | clinic      | bandage       | cares for patients
painter   | studio      | brush         | paints portraits
gardener  | garden      | rake          | plants roses
tailor    | shop        | needle        | sews coats
cook      | kitchen     | ladle         | prepares meals
driver    | bus         | steering wheel| drives passengers
pilot     | cockpit     | map           | flies planes
librarian | library     | catalogue     | lends books
musician  | concert hall| violin        | plays melodies
weaver    | mill        | loom          | weaves carpets
blacksmith| forge       | hammer        | bends iron
butcher   | market      | knife         | cuts meat
shepherd  | pasture     | crook         | guards the flock
clockmaker| tower       | screwdriver   | repairs clocks
judge     | courthouse  | gavel         | settles quarrels
waiter    | restaurant  | tray          | serves guests
scientist | laboratory  | microscope    | studies cells
journalist| newsroom    | notebook      | writes articles
plumber   | cellar      | wrench        | fixes pipes
messenger | post office | bicycle       | delivers letters
miner     | quarry      | pickaxe       | digs coal
fisherman | harbour     | net           | catches fish
""")
)

_DAYS = separated("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
DAYS = tuple(
    Day(name, _DAYS[place - 1], _DAYS[(place + 1) % 7]) for place, name in enumerate(_DAYS)
)

_MONTHS = separated("""
    January February March April May June July August September October November December""")
_SEASONS = ("winter", "spring", "summer", "autumn")
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
MONTHS = tuple(
    Month(name, _MONTHS[i - 1], _MONTHS[(i + 1) % 12], _SEASONS[(i + 1) // 3 % 4], _MONTH_DAYS[i])
    for i, name in enumerate(_MONTHS)
)

_JOB = {job.name: job for job in JOBS}
_COUNTRY = {country.name: country for country in COUNTRIES}
_ANIMAL = {animal.name: animal for animal in ANIMALS}
_MONTH = {month.name: month for month in MONTHS}


def _person(first: str, last: str, he: str, job: str, land: str, pet: str, *rest: str) -> Person:
    pet_name, month = rest
    return Person(first, last, he, _JOB[job], _COUNTRY[land], _ANIMAL[pet], pet_name, _MONTH[month])


PEOPLE = tuple(
    _person(*row)
    for row in _rows("""
Mira  | Holt   | she| baker     | Norvelia | cat    | Button  | March
Oskar | Lind   | he | carpenter | Velmora  | dog    | Rex     | July
Tilda | Marsh  | she| doctor    | Drundel  | parrot | Captain | May
Jonas | Weber  | he | teacher   | Calandria| rabbit | Clover  | January
Anya  | Petrova| she| pilot     | Petrovia | dog    | Comet   | October
Pavel | Novak  | he | miner     | Tolvania | pigeon | Pip     | June
Lena  | Fischer| she| judge     | Graustein| cat    | Minka   | August
Hugo  | Blanc  | he | cook      | Marquenta| goose  | Claude  | December
Nadia | Amari  | she| journalist| Zambara  | goat   | Pepper  | April
Felix | Bauer  | he | clockmaker| Jastria  | mouse  | Tick    | February
Ruth  | Penn   | she| librarian | Wexmoor  | owl    | Sage    | November
Omar  | Said   | he | tailor    | Askelon  | donkey | Figaro  | September
Iris  | Vale   | she| gardener  | Lindora  | hen    | Daisy   | May
Marco | Rossi  | he | fisherman | Isola    | cat    | Neptune | March
Sofia | Costa  | she| musician  | Umbrada  | parrot | Melody  | July
Theo  | Vos    | he | farmer    | Kortland | cow    | Bella   | April
Clara | Stein  | she| scientist | Helvana  | frog   | Newton  | January
Ivan  | Sokol  | he | driver    | Petrovia | horse  | Thunder | August
Greta | Berg   | she| weaver    | Fennmar  | sheep  | Cotton  | December
Samir | Rahman | he | nurse     | Sarobia  | pigeon | Pearl   | June
Elsa  | Nyberg | she| sailor    | Norvelia | seal   | Bubbles | October
Victor| Crane  | he | journalist| Wexmoor  | crow   | Inky    | September
Maya  | Tala   | she| painter   | Oquira   | monkey | Coco    | February
Anton | Dvorak | he | musician  | Tolvania | dog    | Allegro | November
Freya | Olsen  | she| shepherd  | Fennmar  | dog    | Shadow  | January
Leo   | Grand  | he | waiter    | Marquenta| cat    | Truffle | May
Hanna | Keller | she| plumber   | Graustein| turkey | Gus     | March
Boris | Zorin  | he | blacksmith| Yaroth   | horse  | Blaze   | July
Zara  | Nassar | she| pilot     | Askelon  | rabbit | Velvet  | December
Emil  | Hansen | he | baker     | Hollin   | duck   | Puddle  | April
Dora  | Finch  | she| messenger | Drundel  | dog    | Biscuit | August
Karim | Haddad | he | doctor    | Sarobia  | cat    | Saffron | October
Nina  | Sol    | she| cook      | Calandria| hen    | Omelette| June
Otto  | Braun  | he | butcher   | Jastria  | pig    | Truman  | February
Vera  | Lark   | she| teacher   | Belmarra | sheep  | Snowball| September
Max   | Archer | he | shepherd  | Belmarra | goat   | Whiskers| November
Alma  | Rivera | she| nurse     | Oquira   | donkey | Chico   | July
Rafael| Luna   | he | painter   | Monteluna| owl    | Galileo | January
Ines  | Moreno | she| tailor    | Umbrada  | cricket| Violet  | March
Tomas | Rey    | he | sailor    | Tamaro   | parrot | Anchor  | May
Lucy  | Brook  | she| farmer    | Wexmoor  | pig    | Rosie   | December
Peter | Frost  | he | librarian | Helvana  | mouse  | Comma   | April
Rosa  | Monte  | she| waiter    | Monteluna| rabbit | Olive   | October
Simon | Clay   | he | scientist | Quenda   | snake  | Einstein| August
Olga  | Ruben  | she| clockmaker| Velmora  | pigeon | Minute  | June
David | Oduya  | he | judge     | Quenda   | dog    | Justice | February
Ada   | Tanaka | she| scientist | Ishira   | frog   | Pixel   | September
Hector| Malu   | he | fisherman | Sundara  | turkey | Drum    | November
""")
)
