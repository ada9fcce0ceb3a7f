//! What a worker prints or reports contains no secrets. Here, all secrets are `hunter2`.

use super::*;

const SECRET: &str = "hunter2";

#[test]
fn errors_of_executions_contain_no_part_of_the_spec() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Echo(500)]);
        let worker = scene.start_worker();
        let port = scene.target.port;
        let url = |rest: &str| json!({ "url": rest.replace("PORT", &port.to_string()) });
        let with_header = |name: &str, value: &str| json!({ "url": scene.target.url, "headers": { name: value } });
        let specs = [
            with_header("Authorization", "Bearer hunter2"),
            with_header("Authorization", "Bearer hunter2\n"),
            with_header("Authorization", "Bearer hunter2\u{20ac}"),
            with_header("Authorization: Bearer hunter2", ""),
            json!({ "url": scene.target.url, "headers": { "Authorization": ["hunter2"] } }),
            json!({ "url": scene.target.url, "headers": "hunter2" }),
            json!({ "url": scene.target.url, "method": "hunter2\n" }),
            url("http://127.0.0.1:PORT/run?token=hunter2"),
            url("http://127.0.0.1:1/run?token=hunter2"),
            url("http://192.168.0.1/run?token=hunter2"),
            url("https://127.0.0.1:PORT/run?token=hunter2"),
            url("http://127.0.0.1:PORT/hunter2?hunter2#hunter2\n"),
            url("http://user:hunter2@127.0.0.1:PORT/run"),
            url("http://hunter2@127.0.0.1:PORT/run"),
            url("http://127.0.0.1:hunter2/"),
            url("http://127.0.0.1:1hunter2@127.0.0.1/"),
            url("http://[hunter2]/"),
            url("http://hunter2^/"),
            url("http://hunter2 @127.0.0.1/"),
            url("hunter2:pass@127.0.0.1/"),
            url("hunter2"),
        ];
        scene.run_specs(&specs);
        let errors = scene.errors();
        assert!(errors.len() >= specs.len(), "{errors:?}");
        for error in errors {
            assert!(!error.contains(SECRET), "{program:?}: {error}");
        }
        assert!(
            !worker.log().contains(SECRET),
            "{program:?}: {}",
            worker.log()
        );
        let requests = format!("{:?}", scene.target.requests());
        assert!(requests.contains("Bearer hunter2"), "{requests}");
    }
}

#[test]
fn errors_of_connecting_contain_no_part_of_the_connection_string() {
    for program in PROGRAMS {
        let scene = Scene::new(program, &[Answer::Status(200)]);
        for (number, string) in [
            // Neither a socket nor a host.
            "host=/hunter2 password=hunter2",
            "postgresql://user:hunter2@127.0.0.1:1/postgres",
            "postgresql://user:x/hunter2@127.0.0.1:1/postgres",
            "postgresql://user:x@hunter2@127.0.0.1:1/postgres",
            "postgresql://user:x,hunter2@127.0.0.1:1/postgres",
            "postgresql://user:x?hunter2@127.0.0.1:1/postgres",
            "postgresql://user:x?a=hunter2@127.0.0.1:1/postgres",
            "postgresql://user:hunter2%zz@127.0.0.1:1/postgres",
            "postgresql://user:x:hunter2@127.0.0.1:1/postgres",
            "postgresql://user:[hunter2@127.0.0.1:1/postgres",
            "host=127.0.0.1 port=1 password=x hunter2",
            "host=127.0.0.1 port=1 password=x hunter2=y",
            "host=127.0.0.1 port=1 password='x'hunter2'",
            "host=127.0.0.1 port=hunter2",
            "host=127.0.0.1 port=1 sslmode=hunter2",
            "host=127.0.0.1 port=1 sslmode=verify-full sslrootcert=/hunter2",
            "hunter2",
        ]
        .into_iter()
        .enumerate()
        {
            let dir = scene.server.socket_dir().join(number.to_string());
            std::fs::create_dir(&dir).unwrap();
            let worker = Worker::start(program.command(string), &dir);
            wait_for("the worker to print an error", || {
                worker.log().contains('\n')
            });
            assert!(
                !worker.log().contains(SECRET),
                "{program:?}, {string}: {}",
                worker.log()
            );
        }
    }
}

#[test]
fn connection_string_is_no_argument() {
    for program in PROGRAMS {
        let scene = Scene::new(program, &[Answer::Status(200)]);
        for argument in [
            "host=127.0.0.1 password=hunter2",
            "--database=password=hunter2",
        ] {
            let mut command = scene.command();
            command.arg(argument);
            let mut worker = scene.start(command);
            assert_eq!(worker.wait_for_exit().code(), Some(2), "{program:?}");
            assert!(
                worker.log().contains("unknown arguments"),
                "{}",
                worker.log()
            );
            assert!(
                !worker.log().contains(SECRET),
                "{program:?}: {}",
                worker.log()
            );
        }
    }
}
