//! Names that people give: to somebody, or to a file. What nobody sees is no part of them.

use axum::http::StatusCode;

use crate::http::error::Problem;

/// The columns' width, in characters.
const LONGEST_NAME: usize = 255;

/// Characters that join those beside them, without which some scripts and emoji cannot be written.
const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];

/// What comes before it, Latin, Greek and Cyrillic letters among it, never joins: a joiner behind that leaves no trace.
const FIRST_JOINED: char = '\u{590}';

/// A name that can be shown and found again, and does not look like another by what nobody sees.
pub fn checked(name: &str) -> Result<&str, Problem> {
    let name = name.trim_matches(|c: char| c.is_whitespace() || JOINERS.contains(&c));
    let detail = if name.is_empty() {
        "the name is empty".to_owned()
    } else if name.chars().count() > LONGEST_NAME {
        "the name is longer than 255 characters".to_owned()
    } else if let Some(unseen) = unseen(name) {
        let code = u32::from(unseen);
        format!("the name has a character that nobody sees, U+{code:04X}; write it without that")
    } else {
        return Ok(name);
    };
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong_name", detail))
}

fn unseen(name: &str) -> Option<char> {
    let joins_nothing = |&(before, c): &(char, char)| before < FIRST_JOINED && JOINERS.contains(&c);
    let joiner = name.chars().zip(name.chars().skip(1)).find(joins_nothing).map(|(_, joiner)| joiner);
    name.chars().find(|&c| is_unseen(c)).or(joiner)
}

/// Control characters; of those for formatting the ones that turn text around, mark it, or leave no trace; and letters
/// that are blank.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' |
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// The name of a file as it is shown, from what it was called where it came from: its base name without what nobody sees.
/// `None` when nothing is left.
pub fn of_file(given: &str) -> Option<String> {
    let base = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let seen: String = base.chars().filter(|&c| !is_unseen(c)).take(LONGEST_NAME).collect();
    let seen = seen.trim_matches(|c: char| c.is_whitespace() || JOINERS.contains(&c));
    (!seen.is_empty()).then(|| seen.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_something_that_can_be_read() {
        assert_eq!(checked("  Ada 😀 ").unwrap(), "Ada 😀");
        for wrong in ["", " \t", "a\nb", "a\0", &"é".repeat(256)] {
            assert!(checked(wrong).is_err(), "{wrong:?}");
        }
        for other in ["سارا\u{200c}محمدی", "क्\u{200d}ष", "👩\u{200d}🔬", "דוד", "O’Brien-Łukasz 3."]
        {
            assert_eq!(checked(other).unwrap(), other);
        }
        // Turned around, isolated, marked, split or filled by what nobody sees.
        for hidden in [
            "\u{202e}", "\u{2066}", "\u{200f}", "\u{61c}", "\u{200b}", "\u{feff}", "\u{ad}", "\u{2028}",
            "\u{200d}",
        ] {
            assert!(checked(&format!("A{hidden}da")).is_err(), "{hidden:?}");
        }
        for blank in ["\u{3164}", "\u{ffa0}", "\u{115f}", "\u{1160}", "\u{2800}", "A\u{34f}da"] {
            assert!(checked(blank).is_err(), "{blank:?}");
        }
        assert!(checked("\u{200d}").is_err(), "there is nothing to see");
        assert!(checked(&"é".repeat(255)).is_ok());
    }

    #[test]
    fn a_file_is_called_what_can_be_read_of_its_base_name() {
        for (given, name) in [
            ("me.jpg", "me.jpg"),
            ("/home/ada/Ada & Bob.jpg", "Ada & Bob.jpg"),
            ("C:\\Pictures\\été 👩\u{200d}🔬.png", "été 👩\u{200d}🔬.png"),
            (" gpj\u{202e}.exe\r\n.jpg ", "gpj.exe.jpg"),
        ] {
            assert_eq!(of_file(given).as_deref(), Some(name));
        }
        for nothing in ["", " ", "album/", "\u{200b}", "\u{200d}"] {
            assert_eq!(of_file(nothing), None, "{nothing:?}");
        }
        assert_eq!(of_file(&"é".repeat(300)), Some("é".repeat(255)));
    }

    proptest! {
        #[test]
        fn a_name_that_is_taken_is_taken_again_as_it_is(name in "\\PC{0,20}|.{0,20}") {
            if let Ok(taken) = checked(&name) {
                prop_assert_eq!(checked(taken).unwrap(), taken);
                prop_assert!(!taken.is_empty() && !taken.chars().any(is_unseen));
            }
        }

        #[test]
        fn a_file_is_called_something_without_folders_that_fits(given in "(\\PC|[/\\\\]|.){0,300}") {
            if let Some(name) = of_file(&given) {
                prop_assert!(!name.contains(['/', '\\']) && name.chars().count() <= LONGEST_NAME);
                prop_assert_eq!(of_file(&name), Some(name));
            }
        }
    }
}
