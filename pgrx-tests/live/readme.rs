//! The README's tour, and its examples of endpoints and of a deployment, work as printed.

use crate::domain::{assert_sound, count};
use crate::server::{Server, bin};

const README: &str = include_str!("../../README.md");

#[test]
fn tour_of_the_readme_works_as_printed() {
    let example = |heading: &str| {
        let section = README.split(heading).nth(1).unwrap();
        section
            .split("```sql\n")
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap()
    };
    let tour = example("## A tour in five minutes");
    let endpoints = example("## Endpoints and payload specs");
    let deployment = example("## Jobs from a deployment");
    let server = Server::start();
    let file = server.socket_dir().join("tour.sql");
    std::fs::write(&file, [tour, endpoints, deployment].concat()).unwrap();
    let output = server.run_client(
        &bin("psql"),
        &["-X", "-d", "postgres", "-f", file.to_str().unwrap()],
    );

    let errors = String::from_utf8(output.stderr).unwrap();
    let raised: Vec<&str> = errors
        .lines()
        .filter(|line| line.contains("ERROR:"))
        .collect();
    assert_eq!(
        raised.len(),
        1,
        "only the one that it means to show: {errors}"
    );
    assert!(
        raised[0].ends_with("\"0 0 30 2 *\" never fires"),
        "{errors}"
    );
    let mut session = server.session();
    assert_eq!(
        count(
            &mut session,
            "select count(*) from kronos.jobs where status = 'RETIRED'"
        ),
        2
    );
    let one_shot = "select count(*) from kronos.jobs where trigger <> 'CRON' and status = 'ACTIVE'";
    assert_eq!(count(&mut session, one_shot), 4);
    let deployed = "select count(*) from kronos.jobs where declared and status = 'ACTIVE'";
    assert_eq!(count(&mut session, deployed), 2);
    assert_sound(&mut session);
}
