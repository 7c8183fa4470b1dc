//! A small invented world: what the demo's base model reads, and the questions it learns to answer.
//!
//! Each of [`NAMES`] has a home, a favourite food, a colour and an instrument. The base text tells of them in many ways, one short
//! story a line, and never asks a question. The task asks: `What does Otter eat?`, `Otter eats plums.`
//!
//! A quarter of the animals is held out: no question about them is ever trained on. What the base model has read about them is
//! there, so a model that has learned *how to answer* gets them right, and one that has learned answers by heart does not.
//!
//! Everything follows from the seed: the same seed gives the same bytes on every machine.

use crate::random::Random;

/// Who lives there.
pub const NAMES: [&str; 64] = [
    "Otter", "Badger", "Hare", "Fox", "Owl", "Mole", "Toad", "Heron", "Lynx", "Wolf", "Bear", "Crow", "Swan", "Goose", "Duck", "Robin",
    "Wren", "Finch", "Stork", "Crane", "Eagle", "Hawk", "Raven", "Magpie", "Mouse", "Rat", "Vole", "Shrew", "Stoat", "Weasel", "Marten",
    "Beaver", "Seal", "Whale", "Shark", "Trout", "Salmon", "Pike", "Carp", "Eel", "Newt", "Frog", "Snail", "Slug", "Beetle", "Moth",
    "Wasp", "Bee", "Ant", "Cricket", "Spider", "Lizard", "Adder", "Turtle", "Pony", "Donkey", "Goat", "Sheep", "Cow", "Pig", "Hen",
    "Turkey", "Moose", "Deer",
];

const HOMES: [&str; 12] =
    ["harbour", "forest", "mill", "castle", "meadow", "cave", "garden", "tower", "swamp", "village", "orchard", "lighthouse"];
const FOODS: [&str; 12] = ["plums", "honey", "bread", "cheese", "berries", "soup", "nuts", "apples", "beans", "cake", "carrots", "pears"];
const COLOURS: [&str; 8] = ["red", "blue", "green", "yellow", "white", "black", "brown", "purple"];
const INSTRUMENTS: [&str; 8] = ["flute", "drum", "violin", "harp", "trumpet", "piano", "bell", "guitar"];

/// What is known of one animal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Animal {
    /// Its name.
    pub name: &'static str,
    home: &'static str,
    food: &'static str,
    colour: &'static str,
    instrument: &'static str,
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What is asked.
    pub prompt: String,
    /// What is to be said, with the space before it.
    pub completion: String,
}

fn pick<'a, T: ?Sized>(random: &mut Random, from: &[&'a T]) -> &'a T {
    from[random.below(from.len() as u64) as usize]
}

/// The world of a seed.
pub fn animals(seed: u64) -> Vec<Animal> {
    let mut random = Random::new(seed).stream("animals");
    let draw = |name| Animal {
        name,
        home: pick(&mut random, &HOMES),
        food: pick(&mut random, &FOODS),
        colour: pick(&mut random, &COLOURS),
        instrument: pick(&mut random, &INSTRUMENTS),
    };
    NAMES.into_iter().map(draw).collect()
}

impl Animal {
    /// One statement about it, in one of several ways; `who` is its name or what it was just called.
    fn tell(&self, random: &mut Random, fact: u64, who: &str) -> String {
        let (name, home, food, colour, instrument) = (self.name, self.home, self.food, self.colour, self.instrument);
        let ways: [String; 3] = match fact {
            0 => [
                format!("{who} lives in the {home}."),
                format!("In the {home} lives {name}."),
                format!("The {home} is the home of {name}."),
            ],
            1 => [
                format!("{who} eats {food}."),
                format!("Nobody loves {food} as much as {name}."),
                format!("When there are {food}, {name} is hungry."),
            ],
            2 => [
                format!("{who} is {colour}."),
                format!("The coat of {name} is {colour}."),
                format!("Everybody knows the {colour} coat of {name}."),
            ],
            _ => [
                format!("{who} plays the {instrument}."),
                format!("The sound of the {instrument} comes from {name}."),
                format!("The {instrument} belongs to {name}."),
            ],
        };
        // The plain way is told as often as the others together: it is the one that answers take.
        let way = if random.below(2) == 0 { 0 } else { 1 + random.below(2) as usize };
        ways[way].clone()
    }
}

const OPENINGS: [&str; 8] = [
    "It is a quiet morning.",
    "The sun is up.",
    "Rain falls on the roofs.",
    "Here is what people say.",
    "This is a short story.",
    "The wind comes from the sea.",
    "It is late in the day.",
    "Listen.",
];
const ENDINGS: [&str; 6] = ["That is all.", "Then it is night.", "So they say.", "And that is how it is.", "Then all go home.", "The end."];

/// One line: a story about one, two or three animals.
fn story(random: &mut Random, world: &[Animal]) -> String {
    let mut parts: Vec<String> = Vec::new();
    if random.below(2) == 0 {
        parts.push(pick(random, &OPENINGS).into());
    }
    for _ in 0..=random.below(3) {
        let animal = world[random.below(world.len() as u64) as usize];
        let mut facts = [0, 1, 2, 3];
        for i in (1..4).rev() {
            facts.swap(i, random.below(i as u64 + 1) as usize);
        }
        for fact in &facts[..1 + random.below(4) as usize] {
            parts.push(animal.tell(random, *fact, animal.name));
        }
        if random.below(4) == 0 {
            let other = world[random.below(world.len() as u64) as usize];
            let greeting = ["meets", "greets", "waves to", "walks with"];
            parts.push(format!("{} {} {}.", animal.name, pick(random, &greeting), other.name));
            let fact = random.below(4);
            parts.push(other.tell(random, fact, other.name));
        }
    }
    if random.below(3) == 0 {
        parts.push(pick(random, &ENDINGS).into());
    }
    parts.join(" ")
}

/// About `bytes` bytes of stories, one a line.
pub fn base_text(world: &[Animal], bytes: usize, seed: u64) -> String {
    let mut random = Random::new(seed).stream("stories");
    let mut text = String::with_capacity(bytes + 400);
    while text.len() < bytes {
        text.push_str(&story(&mut random, world));
        text.push('\n');
    }
    text
}

impl Animal {
    /// Every question about it, in two ways each.
    fn questions(&self) -> Vec<Row> {
        let name = self.name;
        let of = |questions: [String; 2], answer: String| questions.map(|prompt| Row { prompt, completion: answer.clone() });
        [
            of(
                [format!("Where does {name} live?"), format!("Please tell me the home of {name}.")],
                format!(" {name} lives in the {}.", self.home),
            ),
            of([format!("What does {name} eat?"), format!("Please tell me the food of {name}.")], format!(" {name} eats {}.", self.food)),
            of(
                [format!("What colour is {name}?"), format!("Please tell me the colour of {name}.")],
                format!(" {name} is {}.", self.colour),
            ),
            of(
                [format!("What does {name} play?"), format!("Please tell me the instrument of {name}.")],
                format!(" {name} plays the {}.", self.instrument),
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Questions to learn from, and questions about animals that no question to learn from is about. Both shuffled.
pub fn questions(world: &[Animal], seed: u64) -> (Vec<Row>, Vec<Row>) {
    let mut random = Random::new(seed).stream("questions");
    let mut order: Vec<usize> = (0..world.len()).collect();
    let mut shuffle = |len: usize, swap: &mut dyn FnMut(usize, usize)| {
        for i in (1..len).rev() {
            swap(i, random.below(i as u64 + 1) as usize);
        }
    };
    shuffle(order.len(), &mut |a, b| order.swap(a, b));
    let (held_out, train) = order.split_at(world.len() / 4);
    let rows = |animals: &[usize]| -> Vec<Row> { animals.iter().flat_map(|i| world[*i].questions()).collect() };
    let (mut train, mut held_out) = (rows(train), rows(held_out));
    shuffle(train.len(), &mut |a, b| train.swap(a, b));
    shuffle(held_out.len(), &mut |a, b| held_out.swap(a, b));
    (train, held_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_world() {
        let world = animals(1);
        assert_eq!(world, animals(1));
        assert_ne!(world, animals(2));
        assert_eq!(base_text(&world, 10_000, 1), base_text(&world, 10_000, 1));
        assert!(!base_text(&world, 100_000, 1).contains('?'), "the base text asks nothing");
    }

    #[test]
    fn no_held_out_animal_is_asked_about_in_training() {
        let world = animals(1);
        let (train, held_out) = questions(&world, 1);
        assert_eq!((train.len(), held_out.len()), (48 * 8, 16 * 8));
        for row in &held_out {
            let name = row.completion.split_whitespace().next().expect("a name");
            assert!(train.iter().all(|t| t.completion.split_whitespace().next() != Some(name)), "{name}");
        }
    }

    #[test]
    fn every_fact_is_told() {
        let world = animals(1);
        let text = base_text(&world, 400_000, 1);
        for animal in &world {
            for row in animal.questions() {
                assert!(text.contains(row.completion.trim()), "{}", row.completion);
            }
        }
    }
}
