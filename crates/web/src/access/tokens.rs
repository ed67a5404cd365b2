//! The setting `AUTH_TOKENS`: who has a token, as what, and its SHA-256; or the file that says so.
//!
//! The tokens themselves are stored nowhere, so a reader of the settings cannot use them.

use std::{collections::HashSet, ffi::OsStr, fmt, sync::Arc};

use clap::{
    Arg, Args, Command,
    builder::TypedValueParser,
    error::{Error, ErrorKind},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Role, Source, Who};

/// Longest name, in characters: the audit's column.
const NAME_LENGTH: usize = 64;

/// What stands behind a role and a plus where its token may search by a face.
const SEARCH: &str = "search";

/// Who may use a service.
#[derive(Args, Clone, Debug)]
pub struct AccessSettings {
    /// Who may do what, as name:role:SHA-256 of a token, with commas between, or as @ and a file of these; off lets everybody do everything
    #[arg(
        long,
        env = "AUTH_TOKENS",
        value_name = "AUTH_TOKENS",
        default_value = "off",
        hide_env_values = true,
        value_parser = Unshown
    )]
    pub auth_tokens: Source,
}

/// Everybody who has a token; nobody when tokens are off.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tokens(Arc<[(Who, [u8; 32])]>);

impl Tokens {
    /// Reads the setting. The error says which entry is wrong and how, and shows nothing of it but its name.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "off" { Ok(Self::default()) } else { Self::of(text.split(',')) }
    }

    /// Reads entries.
    pub(super) fn of<'t>(entries: impl IntoIterator<Item = &'t str>) -> Result<Self, String> {
        let (mut holders, mut names) = (Vec::new(), HashSet::new());
        for (index, entry) in entries.into_iter().enumerate() {
            let wrong = |what: &str| format!("entry {} {what}", index + 1);
            let fields: Vec<&str> = entry.trim().split(':').collect();
            let [name, role, hash] = fields[..] else {
                return Err(wrong("has not the form name:role:SHA-256"));
            };
            if !is_name(name) {
                return Err(wrong("needs a name of up to 64 letters, digits, dots, dashes and underscores"));
            }
            let (role, searches) = match role.split_once('+') {
                None => (role, false),
                Some((role, SEARCH)) => (role, true),
                Some(_) => {
                    return Err(wrong(&format!(
                        "({name}) may have +search behind its role, and nothing else"
                    )));
                }
            };
            let roles = [Role::Viewer, Role::Editor, Role::Admin];
            let role = roles.into_iter().find(|known| known.word() == role);
            let role = role
                .ok_or_else(|| wrong(&format!("({name}) has none of the roles viewer, editor and admin")))?;
            let hash = hash_of(hash).ok_or_else(|| {
                let how =
                    "needs the SHA-256 of the token, 64 hexadecimal digits: printf %s \"$TOKEN\" | sha256sum";
                wrong(&format!("({name}) {how}"))
            })?;
            if !names.insert(name) {
                return Err(wrong(&format!("has the name {name}, which another one has")));
            }
            holders.push((Who { name: name.into(), role, searches }, hash));
        }
        Ok(Self(holders.into()))
    }

    /// Whether nobody needs a token.
    pub fn are_off(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose token it is. It takes as long for a wrong one as for a right one, whatever is wrong about it.
    pub(super) fn holder(&self, token: &str) -> Option<Who> {
        let presented: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for (who, hash) in self.0.iter() {
            if bool::from(hash.ct_eq(&presented)) {
                found = Some(who);
            }
        }
        found.filter(|_| is_token(token)).cloned()
    }

    /// Whose token has this SHA-256, which nobody outside chooses.
    pub(super) fn holder_of(&self, hash: &[u8; 32]) -> Option<Who> {
        self.0.iter().find(|(_, known)| known == hash).map(|(who, _)| who.clone())
    }
}

/// Names and roles alone.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holders = self.0.iter().map(|(who, _)| (&who.name, who.role.word()));
        f.debug_map().entries(holders).finish()
    }
}

/// Whether it is written as bearer tokens are (RFC 6750).
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
}

fn is_name(text: &str) -> bool {
    (1..=NAME_LENGTH).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

fn hash_of(hex: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(hex, &mut hash).ok()?;
    Some(hash)
}

/// Reads the setting for clap, which would otherwise show a wrong value: somebody may have put a token there.
#[derive(Clone)]
struct Unshown;

impl TypedValueParser for Unshown {
    type Value = Source;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<Source, Error> {
        let read = value.to_str().ok_or_else(|| "it is not UTF-8".to_owned()).and_then(Source::parse);
        read.map_err(|problem| {
            let words = format!(
                "AUTH_TOKENS (--auth-tokens) is wrong: {problem}.\nIt is off, or has entries like \
                 ada:editor:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 with commas between,\n\
                 or names a file of these like @/etc/kube-face/tokens\n"
            );
            Error::raw(ErrorKind::ValueValidation, words).with_cmd(command)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use clap::Parser;

    use super::*;

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[derive(Debug, Parser)]
    struct Settings {
        #[command(flatten)]
        access: AccessSettings,
    }

    #[test]
    fn entries_are_a_name_a_role_and_a_hash() {
        let tokens = Tokens::parse(&format!("ada:viewer:{HASH}, b.o-b_2:admin:{}", "AB".repeat(32))).unwrap();
        assert_eq!(format!("{tokens:?}"), r#"{"ada": "viewer", "b.o-b_2": "admin"}"#);
        assert!(!tokens.are_off() && Tokens::parse("off").unwrap().are_off());
    }

    #[test]
    fn a_role_may_have_the_right_to_search_beside_it() {
        let text = format!("ada:viewer+search:{HASH},bob:editor:{}", "ab".repeat(32));
        let tokens = Tokens::parse(&text).unwrap();
        let rights: Vec<_> = tokens.0.iter().map(|(who, _)| (who.role, who.searches)).collect();
        assert_eq!(rights, [(Role::Viewer, true), (Role::Editor, false)]);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_place_and_what_to_do() {
        let long = "a".repeat(65);
        for (wrong, words) in [
            ("", "entry 1 has not the form"),
            (HASH, "entry 1 has not the form"),
            (&format!("ada:editor:{HASH},"), "entry 2 has not the form"),
            (&format!("a da:editor:{HASH}"), "entry 1 needs a name"),
            (&format!("{long}:editor:{HASH}"), "entry 1 needs a name"),
            (&format!("ada:owner:{HASH}"), "entry 1 (ada) has none of the roles"),
            (&format!("ada:viewer+all:{HASH}"), "entry 1 (ada) may have +search"),
            ("ada:editor:secret", "entry 1 (ada) needs the SHA-256 of the token"),
            (&format!("ada:editor:{}é", &HASH[2..]), "entry 1 (ada) needs the SHA-256"),
            (&format!("ada:editor:{HASH},ada:admin:{HASH}"), "entry 2 has the name ada"),
        ] {
            let problem = Tokens::parse(wrong).unwrap_err();
            assert!(problem.starts_with(words), "{wrong}: {problem}");
        }
    }

    #[test]
    fn a_wrong_setting_is_refused_without_showing_it() {
        let error =
            Settings::try_parse_from(["x", "--auth-tokens=ada:editor:secret"]).unwrap_err().to_string();
        assert!(error.contains("AUTH_TOKENS") && error.contains("sha256sum"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn what_cannot_be_sent_as_a_token_is_none() {
        let hash = hex::encode(Sha256::digest("with blanks"));
        assert!(Tokens::parse(&format!("ada:editor:{hash}")).unwrap().holder("with blanks").is_none());
    }
}
