"""Word classes: what a template's slot may be filled with, by the name of the slot."""

from tools.tinyworld.atlas import ANIMALS, COUNTRIES, DAYS, JOBS, MONTHS, PEOPLE
from tools.tinyworld.words import nouns, ordinal, separated, verbs

# Templates draw the first words of a class most often: the common ones stand in front.
LEXICON: dict[str, tuple[object, ...]] = {
    "person": PEOPLE,
    "country": COUNTRIES,
    "animal": ANIMALS,
    "job": JOBS,
    "day": DAYS,
    "month": MONTHS,
    "thing": nouns("""
        box book bag lamp chair cup key letter basket bottle table picture coin ring clock mirror
        candle blanket rope ladder bucket pillow plate spoon umbrella drum kite doll ball suitcase
        pencil envelope lantern broom carpet kettle jug vase bell whistle flag paddle barrel shovel
        feather statue trophy magnet telescope flute guitar puzzle stamp ticket wallet purse crate
        parcel pot pan bowl tray jar drawer cushion curtain stool bench wheel engine machine camera
        radio newspaper diary scroll treasure necklace bracelet button thread scarf sack toy wagon
        shelf:shelves knife:knives globe hammer anchor torch helmet shield crown"""),
    "place": nouns("""
        house market garden village kitchen street river bridge station park forest library shop
        square tower castle harbour museum theatre church farm mountain valley beach lake hill
        island cave palace temple inn tavern bakery factory office attic cellar hall corridor
        balcony courtyard orchard vineyard meadow cottage cabin tent lighthouse airport stadium
        playground fountain gate tunnel road path corner crossroads:crossroads warehouse barn
        cemetery chapel hotel prison bank desert canyon waterfall glacier swamp"""),
    "food": nouns("""
        bread:loaves apple cake soup cheese egg sandwich pear plum biscuit pie tomato potato carrot
        onion bean sausage pancake cherry:cherries peach lemon orange grape melon pumpkin cucumber
        cabbage mushroom radish walnut almond muffin waffle tart dumpling pretzel bun fig date
        pickle olive noodle strawberry raspberry blueberry apricot banana coconut pineapple"""),
    "ingredient": separated("""
        flour sugar butter salt milk water oil honey pepper vinegar cinnamon garlic rice cream
        yeast ginger parsley basil mustard vanilla nutmeg thyme oats lentils paprika dill"""),
    "drink": separated("""tea water milk coffee juice lemonade cider cocoa wine broth"""),
    "clothing": nouns("""
        coat hat shirt dress scarf:scarves boot glove jacket sweater skirt cap shoe cloak apron
        sock vest belt gown sandal slipper uniform robe tunic"""),
    "plant": nouns("""
        tree flower rose oak tulip bush fern pine willow daisy lily birch cactus:cactuses ivy maple
        orchid poppy thistle violet elm cedar hedge vine"""),
    "creature": nouns("""
        bird butterfly spider ant beetle squirrel hedgehog deer:deer rat bat moth snail lizard
        turtle otter badger eagle hawk swan sparrow crab lobster salmon:salmon camel giraffe zebra
        panda kangaroo penguin dolphin shark octopus crocodile"""),
    "vehicle": nouns("""
        train bus boat car cart ship bicycle plane truck tram ferry:ferries carriage sledge
        balloon canoe tractor taxi:taxis helicopter rocket"""),
    "material": separated("""wood stone iron glass silver gold clay brass leather wool paper silk
        copper marble bronze straw steel cotton velvet"""),
    "colour": separated("""red blue green white black yellow brown grey golden purple pink orange
        silver crimson turquoise scarlet violet beige"""),
    "quality": separated("""
        old small big new little large heavy beautiful broken strange wooden long short clean dirty
        empty full tall tiny huge round square flat sharp soft smooth rough bright dark shiny dusty
        rusty cheap expensive precious ancient modern plain simple fancy narrow wide thick thin
        light warm cold wet dry sticky fragile sturdy crooked straight hollow polished painted
        famous ordinary curious secret hidden forgotten magnificent dreadful splendid enormous
        delicate ugly elegant peculiar remarkable useful useless valuable mysterious"""),
    "mood": separated("""
        happy sad tired angry proud hungry afraid calm nervous cheerful lonely curious surprised
        worried bored excited jealous grateful gloomy thirsty sleepy ashamed confused hopeful
        furious brave shy content restless disappointed delighted anxious"""),
    "trait": separated("""
        kind clever honest brave patient quiet polite stubborn generous lazy careful funny wise
        gentle serious friendly modest loyal strict greedy cunning humble reckless witty
        thoughtful clumsy talkative punctual"""),
    "taste": separated("""sweet sour salty bitter delicious spicy fresh crisp tasty bland mild
        juicy tender crunchy creamy stale"""),
    "sky": separated("""sunny cloudy rainy windy foggy stormy snowy clear cold hot warm mild misty
        humid frosty dry icy chilly"""),
    "how": separated("""
        slowly quickly quietly carefully happily suddenly gently loudly proudly sadly calmly
        secretly easily bravely politely angrily nervously eagerly patiently silently cheerfully
        softly lazily badly neatly clumsily gladly firmly boldly anxiously gracefully stubbornly
        hastily thoughtfully awkwardly solemnly"""),
    "date": tuple(ordinal(day) for day in range(1, 29)),
    "number": separated("two three four five six seven eight nine ten eleven twelve"),
    "often": separated("""always often usually sometimes rarely never seldom frequently
        occasionally hardly_ever"""),
    "degree": separated("""very rather quite too so extremely really terribly fairly somewhat
        surprisingly almost"""),
    "idea": nouns("""
        idea question answer story secret problem plan dream promise reason mistake rumour message
        lesson memory joke riddle warning excuse truth lie law rule habit fear hope wish
        opinion argument discovery adventure decision proverb legend theory"""),
    "relative": nouns("""mother father sister brother grandmother grandfather uncle aunt cousin
        neighbour friend daughter son child:children nephew niece wife:wives husband"""),
    "stranger": nouns("""woman:women man:men boy girl king queen thief:thieves soldier stranger
        traveller merchant monk prince princess captain giant wizard beggar priest guard
        student guest tourist hunter knight detective poet dancer actor"""),
    "body": nouns("""hand head foot:feet arm eye ear nose leg finger shoulder knee tooth:teeth
        back neck thumb elbow chin"""),
    "school": separated("""history music geography mathematics science art grammar chemistry
        biology physics poetry philosophy astronomy"""),
    "instrument": nouns("""piano:pianos guitar violin flute drum trumpet harp cello:cellos
        accordion clarinet organ"""),
    "game": separated("""chess football tennis cards hide-and-seek marbles dominoes hockey
        basketball volleyball checkers cricket"""),
    "part": separated("""morning evening afternoon night"""),
    "handle": verbs("""
        carry find:found buy:bought clean open move hold:held drop lift hide:hid:hidden paint
        bring:brought take:took:taken lose:lost wash sell:sold mend push pull pack build:built
        break:broke:broken borrow fill examine polish steal:stole:stolen throw:threw:thrown
        draw:drew:drawn admire measure kick catch:caught guard wrap collect deliver discover
        forget:forgot:forgotten describe decorate destroy repair replace fetch exchange inspect
        weigh bury unlock burn photograph shake:shook:shaken"""),
    "travel": verbs("""
        walk run:ran:run go:went:gone hurry drive:drove:driven ride:rode:ridden march wander
        climb sail travel:travelled:travelled swim:swam:swum crawl rush race return
        creep:crept fly:flew:flown stroll stagger limp jog dash gallop tiptoe"""),
    "act": verbs("""
        laugh smile wait sleep:slept sing:sang:sung cry dance listen sit:sat stand:stood whistle
        sigh work rest nod shiver sneeze yawn wave blush weep:wept dream frown giggle snore
        tremble stumble kneel:knelt pray cough shrug applaud"""),
    "say": verbs("""say:said reply whisper answer shout cry add call explain mutter
        exclaim insist murmur announce grumble mumble declare sigh"""),
    "know": verbs("""know:knew:known think:thought believe remember hope understand:understood
        notice see:saw:seen hear:heard learn:learned guess suspect dream pretend realise
        imagine doubt"""),
    "perceive": verbs("""see:saw:seen watch hear:heard notice meet:met follow find:found
        frighten chase greet recognise avoid spot observe"""),
    "cook": verbs("""stir mix boil chop bake fry peel pour heat slice roast grate melt simmer
        season mash knead taste"""),
    "like": verbs("""like love enjoy hate prefer miss want need admire adore dislike"""),
}
