//! What a reader did just before a page, as the page's address tells it.

use axum::http::Uri;

/// What was done, as the address of the page tells it where the browser is led back to.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// What.
    pub what: What,
    /// With how many faces.
    pub faces: u64,
    /// The entry of the audit that can undo it.
    pub undo: Option<u64>,
}

/// What can be done on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// They have a name now.
    Assign,
    /// They were assigned, and one of them is a reference photo now.
    Enrol,
    /// They were assigned, and none of them is good enough for a reference photo.
    AssignAlone,
    /// Their names were confirmed.
    Confirm,
    /// They do not show the person whose name they had.
    Reject,
    /// They are ignored.
    Ignore,
    /// What was said of them was taken back.
    Clear,
    /// Two people became one.
    Merge,
    /// Somebody was hidden on pages.
    Hide,
    /// Somebody was shown again.
    Show,
    /// Somebody is shown by another face.
    Cover,
    /// A target of webhooks was added.
    AddWebhook,
    /// A target of webhooks gets a test.
    TestWebhook,
    /// The webhooks of a target wait.
    PauseWebhook,
    /// The webhooks of a target are sent again.
    ResumeWebhook,
    /// A target of webhooks was removed.
    RemoveWebhook,
    /// A face that was not found got a box.
    Draw,
    /// Another change was undone.
    Undo,
    /// No face was selected.
    Nothing,
}

impl What {
    const ALL: [(&str, Self); 19] = [
        ("assign", Self::Assign),
        ("enrol", Self::Enrol),
        ("assign-alone", Self::AssignAlone),
        ("confirm", Self::Confirm),
        ("reject", Self::Reject),
        ("ignore", Self::Ignore),
        ("clear", Self::Clear),
        ("merge", Self::Merge),
        ("hide", Self::Hide),
        ("show", Self::Show),
        ("cover", Self::Cover),
        ("add-webhook", Self::AddWebhook),
        ("test-webhook", Self::TestWebhook),
        ("pause-webhook", Self::PauseWebhook),
        ("resume-webhook", Self::ResumeWebhook),
        ("remove-webhook", Self::RemoveWebhook),
        ("draw", Self::Draw),
        ("undo", Self::Undo),
        ("nothing", Self::Nothing),
    ];

    /// What a word in an address or a form means.
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| *name == word).map(|(_, what)| what)
    }

    fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, what)| *what == self).map_or("", |(name, _)| name)
    }
}

impl Done {
    /// For the reader.
    pub fn words(&self) -> String {
        let faces = if self.faces == 1 { "1 face".to_owned() } else { format!("{} faces", self.faces) };
        match self.what {
            What::Assign => format!("{faces} named"),
            What::Enrol => format!("{faces} named, and recognised by the best of them from now on"),
            What::AssignAlone => {
                format!(
                    "{faces} named, but not recognised by them: none is good enough, or it is like somebody else's"
                )
            }
            What::Confirm => format!("{faces} confirmed"),
            What::Reject => format!("{faces} removed from this person"),
            What::Ignore => format!("{faces} ignored"),
            What::Clear => format!("Corrections of {faces} cleared"),
            What::Merge => "Merged. Their photos and faces are here now".to_owned(),
            What::Hide => "Hidden: neither listed nor suggested, but still recognised".to_owned(),
            What::Show => "Listed and suggested again".to_owned(),
            What::Cover => "This face is the cover now".to_owned(),
            What::AddWebhook => "Added. It gets what happens from now on".to_owned(),
            What::TestWebhook => "A test is being sent. Its answer is shown here".to_owned(),
            What::PauseWebhook => "Paused. Its webhooks wait until it is resumed".to_owned(),
            What::ResumeWebhook => "Resumed".to_owned(),
            What::RemoveWebhook => "Removed, with the webhooks that waited".to_owned(),
            What::Draw => "Face added. It can be named like any other".to_owned(),
            What::Undo => "Undone".to_owned(),
            What::Nothing => "Nothing was changed: select faces first".to_owned(),
        }
    }

    /// What the address of a page tells.
    pub fn of(uri: &Uri) -> Option<Self> {
        let query = uri.query()?;
        let value = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let number = |name| value(name).and_then(|number| number.parse().ok());
        Some(Self { what: What::read(value("did")?)?, faces: number("of")?, undo: number("undo") })
    }

    /// The address of `page`, which then tells of this.
    pub fn after(self, page: &str) -> String {
        let (path, query) = page.split_once('?').unwrap_or((page, ""));
        let is_told = |part: &&str| ["did=", "of=", "undo="].iter().any(|name| part.starts_with(name));
        let mut parts: Vec<String> =
            query.split('&').filter(|part| !part.is_empty() && !is_told(part)).map(str::to_owned).collect();
        parts.push(format!("did={}&of={}", self.what.name(), self.faces));
        parts.extend(self.undo.map(|entry| format!("undo={entry}")));
        format!("{path}?{}", parts.join("&"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_what_was_done_last_and_keeps_what_its_address_asks_for() {
        let done = Done { what: What::Ignore, faces: 24, undo: Some(17) };
        let first = done.after("/people/5?before=71");
        assert_eq!(first, "/people/5?before=71&did=ignore&of=24&undo=17");
        let then = Done { what: What::Undo, faces: 0, undo: None }.after(&first);
        assert_eq!(then, "/people/5?before=71&did=undo&of=0");
        assert_eq!(done.after("/unknown"), "/unknown?did=ignore&of=24&undo=17");
        let told = Done::of(&first.parse().unwrap()).unwrap();
        assert_eq!((told.words(), told.undo), ("24 faces ignored".to_owned(), Some(17)));
        for nothing in ["/unknown", "/unknown?did=x&of=1", "/unknown?did=ignore&of=x"] {
            assert!(Done::of(&nothing.parse().unwrap()).is_none(), "{nothing}");
        }
    }
}
