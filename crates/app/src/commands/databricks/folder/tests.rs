//! What people have changed stays, and what they have not is kept current.

use std::fs;

use tempfile::TempDir;

use super::{Asset, Folder, LIST, State};

fn assets(texts: &[(&str, &str)]) -> Vec<Asset> {
    texts.iter().map(|(path, text)| Asset { path: (*path).to_owned(), holds: "a test", text: (*text).to_owned() }).collect()
}

struct Test(TempDir);

impl Test {
    fn states(&self, texts: &[(&str, &str)]) -> Vec<State> {
        Folder::open(self.0.path()).unwrap().plan(assets(texts)).unwrap().files.iter().map(|file| file.state).collect()
    }

    fn write(&self, texts: &[(&str, &str)]) {
        let folder = Folder::open(self.0.path()).unwrap();
        folder.write(&folder.plan(assets(texts)).unwrap()).unwrap();
    }

    fn put(&self, path: &str, text: &str) {
        fs::write(self.0.path().join(path), text).unwrap();
    }

    fn left_over(&self, texts: &[(&str, &str)]) -> Vec<String> {
        Folder::open(self.0.path()).unwrap().plan(assets(texts)).unwrap().left_over
    }
}

#[test]
fn what_people_changed_is_known_from_what_we_wrote() {
    let test = Test(TempDir::new().unwrap());
    let first = [("a.yml", "1"), ("deep/er/b.sql", "1"), ("c", "1")];
    assert_eq!(test.states(&first), [State::New; 3]);
    test.write(&first);
    assert_eq!(test.states(&first), [State::Same; 3]);
    test.put("c", "mine");
    let second = [("a.yml", "1"), ("deep/er/b.sql", "2"), ("c", "2"), ("new", "2")];
    assert_eq!(test.states(&second), [State::Same, State::Updated, State::Changed, State::New]);
    // Forced, it is ours again.
    test.write(&second);
    assert_eq!(test.states(&first), [State::Same, State::Updated, State::Updated]);
    assert_eq!(test.left_over(&first), ["new"]);
    // What is left over is not forgotten, and not missed once it is gone.
    test.write(&first);
    assert_eq!(test.left_over(&first), ["new"]);
    fs::remove_file(test.0.path().join("new")).unwrap();
    assert!(test.left_over(&first).is_empty());
}

#[test]
fn without_our_list_every_other_file_is_somebodys() {
    let test = Test(TempDir::new().unwrap());
    let texts = [("a", "1"), ("b", "1")];
    test.write(&texts);
    for damage in ["", "not a list", "zz a\n11 b\n\n x", "\u{0}"] {
        test.put(LIST, damage);
        assert_eq!(test.states(&[("a", "1"), ("b", "2")]), [State::Same, State::Changed], "{damage:?}");
    }
    fs::remove_file(test.0.path().join(LIST)).unwrap();
    assert_eq!(test.states(&[("a", "2"), ("b", "2")]), [State::Changed; 2]);
}

#[test]
fn nothing_unfinished_stays_behind() {
    let test = Test(TempDir::new().unwrap());
    fs::create_dir(test.0.path().join("a")).unwrap();
    let folder = Folder::open(test.0.path()).unwrap();
    assert!(folder.plan(assets(&[("a", "1")])).is_err(), "a folder is no file");
    test.write(&[("b", "1")]);
    let mut names: Vec<_> = fs::read_dir(test.0.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, [LIST, "a", "b"]);
}
