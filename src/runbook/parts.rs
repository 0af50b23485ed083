//! All that is ill-typed in a runbook: a parser stops at its first error, so each part is read for itself.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};
use serde_saphyr::{Spanned, with_deserializer_from_str};

use super::load::{located, missing, unknown};
use super::places::Place;
use super::raw::{RUNBOOK, RawAction, STEP, place};

/// What is wrong, each with its place: what a whole reading has found first, where no part shows more.
pub(super) fn ill_typed(text: &str, first: (Place, String)) -> Vec<(Place, String)> {
    let mut parts = Parts {
        text,
        found: Vec::new(),
    };
    parts.runbook();
    if parts.found.is_empty() {
        parts.found.push(first);
    }
    parts.found
}

struct Parts<'a> {
    text: &'a str,
    found: Vec<(Place, String)>,
}

impl Parts<'_> {
    fn runbook(&mut self) {
        self.fields(&[], &RUNBOOK);
        for text in ["name", "title"] {
            self.read::<String>(&[At::Key(text)]);
        }
        self.read::<u32>(&[At::Key("replicas")]);
        for step in 0..self.items(&[At::Key("steps")]) {
            let within = |field| [At::Key("steps"), At::Item(step), At::Key(field)];
            self.fields(&within("")[..2], &STEP);
            for text in ["id", "title", "rollback"] {
                self.read::<String>(&within(text));
            }
            let [steps, step, actions] = within("actions");
            for action in 0..self.items(&[steps, step, actions]) {
                self.read::<RawAction>(&[steps, step, actions, At::Item(action)]);
            }
        }
    }

    /// A part, where it is there and well typed.
    fn read<T: DeserializeOwned>(&mut self, path: &[At]) -> Option<T> {
        let part = PhantomData;
        let read =
            with_deserializer_from_str(self.text, |yaml| Only { path, part }.deserialize(yaml));
        read.unwrap_or_else(|error| {
            self.found.push(located(&error));
            None
        })
    }

    fn items(&mut self, path: &[At]) -> usize {
        self.read::<Vec<IgnoredAny>>(path)
            .map_or(0, |items| items.len())
    }

    /// The fields of a mapping. A misspelt one is told alone: another one is missing for it.
    fn fields(&mut self, path: &[At], known: &[&'static str]) {
        let Some(Spanned {
            value: Keys(keys),
            referenced,
            ..
        }) = self.read(path)
        else {
            return;
        };
        let misspelt: Vec<_> = keys
            .iter()
            .filter(|key| !known.contains(&key.value.as_str()))
            .map(|key| (place(&key.referenced), unknown("field", &key.value, known)))
            .collect();
        if misspelt.is_empty() {
            let lacks = known
                .iter()
                .filter(|known| !keys.iter().any(|key| key.value == **known));
            let lacks = lacks.map(|field| (place(&referenced), missing(field)));
            self.found.extend(lacks);
        }
        self.found.extend(misspelt);
    }
}

/// One way down.
#[derive(Clone, Copy)]
enum At {
    Key(&'static str),
    Item(usize),
}

/// Reads the part at the end of a path, and passes over all others.
struct Only<'a, T> {
    path: &'a [At],
    part: PhantomData<T>,
}

impl<T> Only<'_, T> {
    /// What is left of it one way down.
    fn below(&self) -> Self {
        Self {
            path: &self.path[1..],
            part: PhantomData,
        }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Only<'_, T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        match self.path.first() {
            None => T::deserialize(deserializer).map(Some),
            Some(At::Key(_)) => deserializer.deserialize_map(self),
            Some(At::Item(_)) => deserializer.deserialize_seq(self),
        }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<'_, T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<T>, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if matches!(self.path[0], At::Key(name) if name == key) {
                found = map.next_value_seed(self.below())?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Option<T>, A::Error> {
        let mut found = None;
        for index in 0.. {
            if matches!(self.path[0], At::Item(item) if item == index) {
                found = seq.next_element_seed(self.below())?.flatten();
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

/// The keys of a mapping.
struct Keys(Vec<Spanned<String>>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut keys = Vec::new();
        while let Some((key, IgnoredAny)) = map.next_entry()? {
            keys.push(key);
        }
        Ok(Keys(keys))
    }
}
