//! `freshet demo`: a company on a Heroku of this machine, and what it says in a lake.

#[allow(dead_code, unused_imports, reason = "the verb that shows the picture is wired apart from it")]
mod view;
