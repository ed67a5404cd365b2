//! Which pictures a reader asks for. It stands in the address of the gallery and of each picture that was opened from
//! there, so that it can be shared, and "older" means the next picture that fits.

use std::borrow::Borrow;

use axum_extra::extract::{Query, QueryRejection};
use chrono::NaiveDate;
use common::db::{
    images::photos::{Filter, State},
    people::called::{Called, called},
};
use serde::Deserialize;
use sqlx::MySqlPool;

use crate::{
    error::Problem,
    view::paging::{Asked, address},
};

/// People that a filter may ask for together, at most.
const TOGETHER: usize = 5;

/// The filter as it stands in an address; an empty field asks for nothing.
#[derive(Debug, Default, Deserialize)]
pub struct Wanted {
    /// Of each an id, or a part of a name: all of them are on a picture together.
    #[serde(default)]
    pub person: Vec<String>,
    /// One of the words of [`State::ALL`].
    #[serde(default)]
    pub status: String,
    /// Like 2024-02-29.
    #[serde(default)]
    pub from: String,
    #[serde(default)]
    pub to: String,
    /// A part of the path.
    #[serde(default)]
    pub text: String,
    /// Which page of the gallery.
    #[serde(flatten)]
    pub asked: Asked,
}

impl Wanted {
    /// What an address asks for.
    pub fn of(query: Result<Query<Self>, QueryRejection>) -> Result<Self, Problem> {
        let Query(mut wanted) = query.map_err(|_| Problem::WrongFilter)?;
        wanted.person.iter_mut().for_each(|person| *person = person.trim().to_owned());
        wanted.person.retain(|person| !person.is_empty());
        if wanted.person.len() > TOGETHER { Err(Problem::WrongFilter) } else { Ok(wanted) }
    }

    /// All but the people, whose names the database knows.
    pub fn filter(&self) -> Result<Filter, Problem> {
        let day = |text: &str| match text.trim() {
            "" => Ok(None),
            day => day.parse::<NaiveDate>().map(Some).map_err(|_| Problem::WrongFilter),
        };
        let state = match self.status.as_str() {
            "" => None,
            word => {
                let known = State::ALL.into_iter().find(|(known, _)| *known == word);
                Some(known.ok_or(Problem::WrongFilter)?.1)
            }
        };
        let text = Some(self.text.clone()).filter(|text| !text.is_empty());
        Ok(Filter { people: Vec::new(), state, from: day(&self.from)?, to: day(&self.to)?, text })
    }

    /// Whom it asks for, in its order.
    pub async fn people(&self, pool: &MySqlPool) -> sqlx::Result<Vec<Called>> {
        let mut people = Vec::with_capacity(self.person.len());
        for person in &self.person {
            people.push(called(pool, person).await?);
        }
        Ok(people)
    }

    /// Whether it asks for anything.
    pub fn is_any(&self) -> bool {
        self.address("") != "?"
    }

    /// Whether more than names and text is asked for.
    pub fn is_detailed(&self) -> bool {
        [&self.status, &self.from, &self.to].into_iter().any(|field| !field.is_empty())
    }

    /// Where `page` has this filter, ready for more.
    pub fn address(&self, page: &str) -> String {
        self.address_with(page, self.person.iter())
    }

    /// The same for other people.
    fn address_with<'a>(&'a self, page: &str, people: impl Iterator<Item = &'a String>) -> String {
        let Self { person: _, status, from, to, text, asked: _ } = self;
        let mut fields: Vec<(&str, &str)> = people.map(|person| ("person", person.as_str())).collect();
        fields.extend([("status", status.as_str()), ("from", from), ("to", to), ("text", text)]);
        address(page, &fields)
    }

    /// The gallery without the person at this place.
    pub fn without(&self, nth: usize) -> String {
        let others = self.person.iter().enumerate().filter(|&(at, _)| at != nth).map(|(_, person)| person);
        finished(self.address_with("/gallery", others))
    }

    /// The gallery with this person, too; `None` when it asks for them already, or for as many as it can.
    pub fn with(&self, person: i32) -> Option<String> {
        let person = person.to_string();
        let fits = self.person.len() < TOGETHER && !self.person.contains(&person);
        fits.then(|| finished(self.address_with("/gallery", self.person.iter().chain([&person]))))
    }

    /// The page of an image, which knows what was asked for.
    pub fn image(&self, id: impl Borrow<u64>) -> String {
        finished(self.address(&format!("/images/{}", id.borrow())))
    }

    /// The gallery with this filter.
    pub fn gallery(&self) -> String {
        finished(self.address("/gallery"))
    }
}

fn finished(address: String) -> String {
    address.trim_end_matches(['?', '&']).to_owned()
}
