//! What came of recognising an image, and what that means for its row once the names of today are known.

use std::collections::HashMap;

use common::{
    images::{Ending, Failure, Recognition},
    models::Person,
};

use crate::recogniser::Answer;

/// What came of recognising an image.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Face-recog looked at it.
    Answered(Answer),
    /// It cannot be recognised, at least not this time.
    Failed(Failure),
    /// Face-recog broke off, through the fault of this image or of another.
    Suspected,
    /// Nothing was learnt about the image, and why.
    NotNow(&'static str),
}

impl Verdict {
    /// Base names of the known pictures whose people are to be looked up.
    pub(crate) fn image_names(&self) -> &[String] {
        match self {
            Self::Answered(answer) => &answer.matches,
            _ => &[],
        }
    }

    /// Why nothing was learnt.
    pub(crate) fn why_not_now(&self) -> Option<&'static str> {
        match self {
            Self::NotNow(why) => Some(why),
            _ => None,
        }
    }

    /// How the work ends when known pictures belong to `people`; `last_try`: whether the image may fail no more.
    pub(crate) fn ending(&self, people: &HashMap<String, Person>, last_try: bool) -> Ending {
        match self {
            Self::Answered(answer) => match recognition(answer, people) {
                Ok(recognition) => Ending::Recognised(recognition),
                Err(failure) => Ending::Failed { failure, last_try },
            },
            Self::Failed(failure) => Ending::Failed { failure: failure.clone(), last_try },
            Self::Suspected => Ending::Suspected,
            Self::NotNow(_) => Ending::Released,
        }
    }
}

/// Who is on the known pictures that match: the nearest that has a name counts.
fn recognition(answer: &Answer, people: &HashMap<String, Person>) -> Result<Recognition, Failure> {
    let Answer { matches, distance, faces, found } = answer;
    let person = matches.iter().find_map(|name| people.get(name)).map(|person| person.id);
    let reason = match (person, matches.first()) {
        (Some(_), _) => None,
        (None, None) => Some(why_nobody(*distance, *faces)),
        (None, Some(unnamed)) => Some(format!(
            "looks like the known picture {unnamed:?}, which belongs to nobody: say whose it is, on the page People"
        )),
    };
    match reason {
        // Without kept faces nothing would give it the name that the picture may get.
        Some(reason) if found.is_none() && !matches.is_empty() => {
            Err(Failure { reason, kind: "belongs_to_nobody", redeemable: true })
        }
        reason => Ok(Recognition { person, distance: *distance, reason, found: found.clone() }),
    }
}

fn why_nobody(distance: Option<f64>, faces: Option<usize>) -> String {
    match (faces, distance) {
        (Some(0), _) => "no face was found".to_owned(),
        (Some(faces), Some(distance)) => {
            let faces = if faces == 1 { "a face".to_owned() } else { format!("{faces} faces") };
            format!("{faces} found, nobody known: the nearest known face is at distance {distance:.2}")
        }
        (Some(_), None) => "a face was found, but there are no known people to compare it with".to_owned(),
        (None, _) => "nobody known was found".to_owned(),
    }
}
