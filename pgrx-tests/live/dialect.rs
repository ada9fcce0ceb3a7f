//! Compares the cron expressions that Kronos accepts with those that the server's pg_cron accepts.

use crate::server::Server;
use postgres::Client;
use rand::Rng;
use rand::seq::IndexedRandom;

/// Opens a session with functions that say whether pg_cron and Kronos accept an expression.
fn session_with_judges(server: &Server) -> Client {
    let mut session = server.session();
    session
        .batch_execute(
            "create function public.pg_cron_accepts(cron text) returns boolean language plpgsql as $$
             begin
                 perform cron.schedule('dialect', cron, 'select 1');
                 return true;
             exception when invalid_parameter_value then
                 return false;
             end $$;
             create function public.kronos_accepts(cron text) returns boolean language plpgsql as $$
             begin
                 perform kronos.next_ticks(cron, max => 0);
                 return true;
             exception when invalid_parameter_value or feature_not_supported then
                 return false;
             end $$;",
        )
        .unwrap();
    session
}

/// Whether pg_cron and Kronos accept each of the expressions.
fn judge(session: &mut Client, expressions: &[String]) -> Vec<(bool, bool)> {
    let mut transaction = session.transaction().unwrap();
    let statement = "select pg_cron_accepts(cron), kronos_accepts(cron)
                     from unnest($1::text[]) with ordinality e (cron, nth) order by nth";
    let rows = transaction.query(statement, &[&expressions]).unwrap();
    transaction.rollback().unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Whether the server's pg_cron is too old for an expression.
fn is_too_new_for_server(session: &mut Client, cron: &str) -> bool {
    let version: String = session
        .query_one(
            "select extversion from pg_extension where extname = 'pg_cron'",
            &[],
        )
        .unwrap()
        .get(0);
    cron.contains('$') && version.as_str() < "1.6"
        || cron.to_lowercase().contains("second") && version.as_str() < "1.5"
}

fn random_item(rng: &mut impl Rng, low: u32, high: u32, names: &[&str]) -> String {
    let (a, b) = (rng.random_range(low..=high), rng.random_range(low..=high));
    let (first, last) = (a.min(b), a.max(b));
    match rng.random_range(0..6) {
        0 => "*".into(),
        1 => format!("*/{}", rng.random_range(1..=high)),
        2 => format!("{first}-{last}"),
        3 => format!("{first}-{last}/{}", rng.random_range(1..=high)),
        4 if !names.is_empty() => names.choose(rng).unwrap().to_string(),
        _ => first.to_string(),
    }
}

/// A well-formed expression of five fields.
pub fn random_expression(rng: &mut impl Rng) -> String {
    let last_day = rng.random_range(0..8) == 0;
    let mut field = |low, high, names: &[&str]| {
        let items = rng.random_range(1..4);
        let items: Vec<String> = (0..items)
            .map(|_| random_item(rng, low, high, names))
            .collect();
        items.join(",")
    };
    [
        field(0, 59, &[]),
        field(0, 23, &[]),
        if last_day {
            "$".into()
        } else {
            field(1, 31, &[])
        },
        field(1, 12, &["jan", "FEB", "Dec"]),
        field(0, 7, &["sun", "MON", "Sat"]),
    ]
    .join(" ")
}

#[test]
fn kronos_accepts_well_formed_expressions_and_nothing_that_pg_cron_refuses() {
    let server = Server::start();
    let mut session = session_with_judges(&server);
    let mut rng = rand::rng();
    let mut well_formed: Vec<String> = (0..1500).map(|_| random_expression(&mut rng)).collect();
    well_formed.extend((1..60).map(|seconds| format!("{seconds} seconds")));
    well_formed.extend(["1 second", "30 SECONDS", " 30  Seconds "].map(str::to_owned));
    let macros = "@hourly @daily @midnight @weekly @monthly @yearly @annually";
    well_formed.extend(macros.split(' ').map(str::to_owned));
    for (cron, (pg_cron, kronos)) in well_formed.iter().zip(judge(&mut session, &well_formed)) {
        assert!(kronos, "{cron:?}");
        assert!(
            pg_cron || is_too_new_for_server(&mut session, cron),
            "{cron:?}"
        );
    }
    // Change, insert or remove one character. Trim the result: Kronos accepts blanks around an expression, pg_cron not
    // always (`30 second `).
    let characters: Vec<char> = "0123456789*,-/ $@#?LWjansu;\t".chars().collect();
    let mutated: Vec<String> = (0..3000)
        .map(|_| {
            let mut text: Vec<char> = well_formed.choose(&mut rng).unwrap().chars().collect();
            let place = rng.random_range(0..text.len());
            let character = *characters.choose(&mut rng).unwrap();
            match rng.random_range(0..3) {
                0 => text[place] = character,
                1 => text.insert(place, character),
                _ => drop(text.remove(place)),
            }
            text.into_iter().collect::<String>().trim().to_owned()
        })
        .collect();
    for (cron, (pg_cron, kronos)) in mutated.iter().zip(judge(&mut session, &mutated)) {
        assert!(
            pg_cron || !kronos || is_too_new_for_server(&mut session, cron),
            "Kronos accepts {cron:?}, pg_cron does not"
        );
    }
}

#[test]
fn kronos_refuses_expressions_that_pg_cron_accepts_by_accident() {
    let server = Server::start();
    let mut session = session_with_judges(&server);
    let accidents = [
        "5;x,9 * * * *",
        "* * * * mon#2",
        "0 0 12 * * ?",
        "* * * * * *",
        "22-5 * * * *",
        "@daily x",
        "4294967301 * * * *",
        "# comment\n* * * * *",
    ]
    .map(str::to_owned);
    for (cron, (pg_cron, kronos)) in accidents.iter().zip(judge(&mut session, &accidents)) {
        assert!(pg_cron, "this pg_cron refuses {cron:?}");
        assert!(!kronos, "{cron:?}");
    }
}
