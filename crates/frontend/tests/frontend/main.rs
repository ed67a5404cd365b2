//! The frontend as its users meet it: the real service in this process, a real database, and an HTTP client.

mod answers;
mod away;
mod frontend;
mod pages;
mod table;
