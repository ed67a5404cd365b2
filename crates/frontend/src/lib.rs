//! The table of who is on which picture, in the browser.
