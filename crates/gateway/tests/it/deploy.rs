//! What is shipped to run Waypost with: everything that can be read is read, every path it names is there, and its waits fit
//! those of the gateway. Building the image needs a Docker engine and is not done here.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};
use waypost_core::config::{Config, Format, Server};
use waypost_core::health::States;
use waypost_core::snapshot::compile;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn deploy(name: &str) -> PathBuf {
    root().join("deploy").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(deploy(name)).expect(name)
}

/// A YAML document, with every scalar as text. Knows no anchors.
fn yaml(name: &str) -> Value {
    enum Open {
        List(Vec<Value>),
        Map(Map<String, Value>, Option<String>),
    }
    let mut open = vec![Open::List(Vec::new())];
    let text = text(name);
    for event in Parser::new_from_str(&text) {
        let done = match event.expect(name).0 {
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop().unwrap() {
                Open::List(items) => items.into(),
                Open::Map(entries, _) => entries.into(),
            },
            _ => continue,
        };
        match open.last_mut().unwrap() {
            Open::List(items) => items.push(done),
            Open::Map(_, key @ None) => *key = Some(done.as_str().expect("keys are text").to_owned()),
            Open::Map(entries, key) => {
                let twice = entries.insert(key.take().unwrap(), done);
                assert_eq!(twice, None, "{name} says something twice");
            }
        }
    }
    let Some(Open::List(mut documents)) = open.pop() else { unreachable!("{name} does not end") };
    assert_eq!(documents.len(), 1, "{name}");
    documents.remove(0)
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|item| item.as_str().expect("it is text")).collect()
}

fn seconds(span: &str) -> Duration {
    Duration::from_secs(span.strip_suffix('s').and_then(|number| number.parse().ok()).expect(span))
}

/// What a stop may take if nobody sets anything, and a second for the rest.
fn stop() -> Duration {
    let server = Server::default();
    server.drain_delay.0 + server.shutdown_grace.0 + Duration::from_secs(3)
}

#[test]
fn the_template_is_a_configuration_and_its_variables_are_in_the_example() {
    let example = text("env.example");
    let named: HashSet<&str> = example.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let lookup = |name: &str| {
        assert!(named.contains(name), "{name} is not in env.example");
        Some(format!("{name}-0123456789abcdef"))
    };
    let config = Config::parse(&text("waypost.yaml"), Format::Yaml, "waypost.yaml", &lookup).unwrap();
    let snapshot = compile(&config, &States::default()).unwrap();
    assert_eq!((snapshot.channels.len(), snapshot.warnings.len()), (1, 0), "{:?}", snapshot.warnings);
    assert!(snapshot.channels[0].probe.is_some());
}

#[test]
fn everything_compose_names_is_there_and_nothing_is_published_beyond_the_machine() {
    let compose = yaml("compose.yaml");
    let services = compose["services"].as_object().unwrap();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["waypost", "prometheus", "grafana"]);
    for (name, service) in services {
        for volume in texts(&service["volumes"]) {
            let source = volume.split(':').next().unwrap();
            if source.starts_with('.') {
                assert!(deploy(source).exists(), "{name}: {source}");
            } else {
                assert!(compose["volumes"].get(source).is_some(), "{name}: {source} is no volume");
            }
        }
        assert!(texts(&service["ports"]).iter().all(|port| port.starts_with("127.0.0.1:")), "{name}");
        assert!(texts(&service["secrets"]).iter().all(|secret| compose["secrets"].get(secret).is_some()), "{name}");
        assert_eq!(name == "waypost", service.get("profiles").is_none());
    }
    let waypost = &services["waypost"];
    let build = &waypost["build"];
    let context = deploy(build["context"].as_str().unwrap());
    assert!(context.join(build["dockerfile"].as_str().unwrap()).is_file());
    assert!(seconds(waypost["stop_grace_period"].as_str().unwrap()) > stop());
}

#[test]
fn prometheus_and_grafana_find_each_other_and_the_gateway() {
    let prometheus = yaml("prometheus/prometheus.yaml");
    let scrape = &prometheus["scrape_configs"][0];
    assert_eq!(
        (&scrape["job_name"], &scrape["static_configs"][0]["targets"][0]),
        (&"waypost".into(), &"waypost:3000".into())
    );
    let source = yaml("grafana/provisioning/datasources/waypost.yaml");
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    let boards = yaml("grafana/provisioning/dashboards/waypost.yaml");
    let path = boards["providers"][0]["options"]["path"].as_str().unwrap().to_owned();
    let compose = yaml("compose.yaml");
    let mounted = texts(&compose["services"]["grafana"]["volumes"]).into_iter().any(|volume| volume.contains(&path));
    assert!(mounted, "{path}");
}

#[test]
fn the_image_copies_what_is_there_and_runs_as_nobody_in_particular() {
    let dockerfile = text("Dockerfile").replace("\\\n", " ");
    let (_, last) = dockerfile.rsplit_once("\nFROM ").unwrap();
    let lines = |part: &str| part.lines().map(str::to_owned).collect::<Vec<_>>();
    let ignored = text("Dockerfile.dockerignore");
    for line in lines(&dockerfile).iter().filter(|line| line.starts_with("COPY ") && !line.contains("--from=")) {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        for source in &words[..words.len() - 1] {
            assert!(root().join(source).exists(), "{source}");
            assert!(ignored.lines().any(|kept| kept == format!("!{source}")), "{source} is not in the context");
        }
    }
    assert!(last.starts_with("scratch\n"));
    let said = |word: &str| last.lines().find_map(|line| line.strip_prefix(word)).unwrap().trim().to_owned();
    assert_eq!(said("EXPOSE"), "3000");
    let user = said("USER");
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user}");
    let binary = said("COPY --from=build /out/waypost");
    assert!(said("HEALTHCHECK").ends_with(&format!(r#"CMD ["{binary}", "health"]"#)));
    assert_eq!(said("ENTRYPOINT"), format!(r#"["{binary}"]"#));
}

#[test]
fn the_unit_is_one_that_systemd_takes_and_waits_for_streams() {
    let unit = text("waypost.service");
    let said = |key: &str| {
        let value = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.expect(key)
    };
    assert_eq!((said("DynamicUser"), said("ProtectSystem"), said("NoNewPrivileges")), ("yes", "strict", "yes"));
    assert_eq!(said("ExecReload"), "/bin/kill -HUP $MAINPID");
    assert!(seconds(said("TimeoutStopSec")) > stop());
    assert!(said("LimitNOFILE").parse::<u32>().unwrap() > 2 * Server::default().max_connections);

    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("unit-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let here = folder.join("waypost.service");
    std::fs::write(&here, unit.replace("/usr/local/bin/waypost", env!("CARGO_BIN_EXE_waypost"))).unwrap();
    // Only where there is systemd can it be asked.
    if let Ok(verified) = Command::new("systemd-analyze").arg("verify").arg(&here).output() {
        let complaint = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && !complaint.contains("waypost.service"), "{complaint}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_readme_names_every_file_that_is_there() {
    let readme = text("README.md");
    for entry in std::fs::read_dir(deploy("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let named = readme.contains(&format!("`{name}`")) || readme.contains(&format!("`{name}/`"));
        assert!(named || name == "README.md" || name.ends_with(".dockerignore"), "{name}");
    }
}
