//! The whole upgrade, its way back, what goes wrong in it, and what is left of it after `kill -9`.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use super::{PASSWORD, Project};
use crate::support::Output;

/// What every run does, in the page's order.
const TO_2_5: &[&str] = &[
    "imagestream/amp-system patched",
    "imagestream/amp-system patched",
    "imagestream/amp-apicast patched",
    "imagestream/amp-apicast patched",
    "imagestream/amp-backend patched",
    "imagestream/amp-backend patched",
    "imagestream/amp-zync patched",
    "imagestream/amp-zync patched",
    "imagestream/amp-wildcard-router patched",
    "imagestream/amp-wildcard-router patched",
    "deploymentconfig/system-app updated",
    "configmap/system edited",
    "secret/system-database replaced",
    "deploymentconfig/system-mysql edited",
    "deploymentconfig/zync scaled to 0",
    "database dumped",
    "imagestreamtag/postgresql:10 tagged",
    "deploymentconfig/zync-database edited",
    "database imported",
    "deploymentconfig/zync scaled to 3",
];

const BACK_TO_9_5: &[&str] = &[
    "deploymentconfig/zync scaled to 0",
    "deploymentconfig/zync-database edited",
    "database imported",
    "deploymentconfig/zync scaled to 3",
];

/// What was done by commands; that pods were replaced follows from it.
fn done(project: &Project) -> Vec<String> {
    project.effects().into_iter().filter(|line| !line.ends_with(" deployed")).collect()
}

/// Fails where the password stands as it is, as JSON has it, or as a secret stores it.
#[track_caller]
fn assert_no_secret(project: &Project, outputs: &[&Output]) {
    let json = serde_json::to_string(PASSWORD).unwrap();
    let json = json.trim_matches('"');
    let base64 = "cGEic3Ncd8O2cmQtNDcxMQ==";
    let mut files = project.files_below("state");
    assert!(files.len() > 20, "the run has records");
    for (number, output) in outputs.iter().enumerate() {
        let text = format!("{}{}", output.raw_stdout(), output.raw_stderr());
        files.push((format!("output {number}").into(), text.into_bytes()));
    }
    for (path, bytes) in files {
        let text = String::from_utf8_lossy(&bytes);
        for form in [PASSWORD, json, base64, "rd-4711"] {
            assert!(!text.contains(form), "{} has the password, as {form}", path.display());
        }
    }
}

#[test]
fn the_whole_page_its_way_back_and_once_more() {
    let project = Project::new();
    project.edit("inventory.yaml", "delete_old_tag: \"yes\"", "delete_old_tag: \"no\"");
    let first = project.attended(project.start());
    first.code(0);
    assert_eq!(done(&project), TO_2_5);
    assert_upgraded(&project);
    assert_eq!(project.tags("postgresql"), ["9.5", "10"]);
    assert_backups(&project);

    let back = project.attended(project.rollback());
    back.code(0);
    assert_eq!(done(&project)[TO_2_5.len()..], *BACK_TO_9_5);
    let trigger = project.object("dc", "zync-database")["spec"]["triggers"].to_string();
    assert!(trigger.contains("postgresql:9.5"), "{trigger}");
    let pods = project.said(&["get", "pods", "-l", "deploymentConfig=zync-database", "-o", "json"]);
    assert!(pods.contains("postgresql-95-rhel7"), "{pods}");
    assert!(project.read("oc-state/zync.sql").contains("acme-admin.example.org"));
    assert_eq!(project.replicas("zync"), 3);

    // Another run: what is there is not done again, and the old tag goes.
    project.edit("inventory.yaml", "delete_old_tag: \"no\"", "delete_old_tag: \"yes\"");
    let second = project.attended(project.start());
    second.code(0);
    assert_eq!(
        done(&project)[TO_2_5.len() + BACK_TO_9_5.len()..],
        [
            "deploymentconfig/system-app updated",
            "deploymentconfig/zync scaled to 0",
            "database dumped",
            "deploymentconfig/zync-database edited",
            "database imported",
            "deploymentconfig/zync scaled to 3",
            "imagestreamtag/postgresql:9.5 deleted",
        ]
    );
    assert_upgraded(&project);
    assert_eq!(project.tags("postgresql"), ["10"]);
    project.oc(&["get", "imagestreamtag", "postgresql:9.5"]).code(1).stderr_has("NotFound");
    let refused = project.rollback().run();
    refused.code(12).stderr_has("a point of no return was passed: section 2.5.6 goes back to the tag");
    let status = project.rollgate(&["status"]).run();
    status.code(0);
    assert_eq!(project.count("zync started on an empty database"), 0);
    assert_no_secret(&project, &[&first, &back, &second, &refused, &status]);
}

/// What the page says that there is at the end, up to the deletion of the old tag.
#[track_caller]
fn assert_upgraded(project: &Project) {
    for stream in ["system", "apicast", "backend", "zync", "wildcard-router"] {
        let stream = format!("amp-{stream}");
        assert_eq!(project.tags(&stream), ["2.4.0", "latest", "2.5.0", "latest"], "{stream}");
        let tags = project.object("is", &stream)["spec"]["tags"].clone();
        let image = tags[2]["from"]["name"].as_str().unwrap().to_owned();
        let wanted = match stream.as_str() {
            "amp-wildcard-router" => "3scale-amp22/wildcard-router".to_owned(),
            "amp-apicast" => "3scale-amp25/apicast-gateway".to_owned(),
            other => format!("3scale-amp25/{}", other.trim_start_matches("amp-")),
        };
        assert_eq!(image, format!("registry.access.redhat.com/{wanted}"));
        assert_eq!(tags[3]["from"]["name"], "2.5.0");
        assert_eq!(tags[2]["referencePolicy"]["type"], "Source");
    }
    assert!(project.said(&["set", "env", "dc/system-app", "--list"]).contains("AMP_RELEASE=2.5.0"));
    let flags = project.object("cm", "system")["data"]["rolling_updates.yml"].as_str().unwrap().to_owned();
    for flag in ["policy_registry: true", "service_mesh_integration: true"] {
        assert_eq!(flags.matches(flag).count(), 1, "{flags}");
    }
    let env = project.said(&["set", "env", "dc/system-mysql", "--list"]);
    for line in [
        "# MYSQL_USER from secret system-database, key DB_USER",
        "# MYSQL_PASSWORD from secret system-database, key DB_PASSWORD",
    ] {
        assert!(env.lines().any(|found| found == line), "{env}");
    }
    let stored = project.object("secret", "system-database");
    assert_eq!(stored["data"]["DB_PASSWORD"], "cGEic3Ncd8O2cmQtNDcxMQ==");
    assert_eq!(stored["data"]["DB_USER"], "bXlzcWw=");
    assert_eq!(stored["data"]["ROOT_PASSWORD"], "cm9vdC1wYXNz", "what was there stays");
    let database = project.said(&["get", "pods", "-l", "deploymentConfig=zync-database", "-o", "json"]);
    assert!(database.contains("rhscl/postgresql-10-rhel7@sha256:"), "{database}");
    assert!(project.read("oc-state/zync.sql").contains("initech-admin.example.org"));
    for (name, count) in [("system-app", 2), ("system-sidekiq", 1), ("system-mysql", 1), ("zync", 3)] {
        assert_eq!(project.replicas(name), count, "{name}");
        assert_eq!(project.object("dc", name)["status"]["readyReplicas"], count, "{name}");
    }
}

#[track_caller]
fn assert_backups(project: &Project) {
    let files = project.files_below("3scale-2.5-backups");
    let names: Vec<_> = files.iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "configmap-system.yaml",
            "dc-system-mysql.yaml",
            "dc-zync-database.yaml",
            "env-system-mysql",
            "imagestream-postgresql.yaml",
            "secret-system-database.yaml",
            "zync-database-backup-for-2.5.gz.1",
        ]
    );
    for (path, bytes) in &files {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        assert!(!bytes.is_empty(), "{}", path.display());
    }
    let env = String::from_utf8_lossy(&files[3].1);
    assert!(env.contains(PASSWORD), "the backup is of the time before: {env}");
}

#[test]
fn killed_twice_and_resumed_it_does_nothing_twice() {
    let project = Project::new();
    project.beside_a_human(|| {
        for (effect, begin) in
            [("imagestream/amp-backend patched", project.start()), ("database dumped", project.resume())]
        {
            let mut running = begin.spawn();
            project.await_effect(effect);
            running.signal(Signal::KILL);
            running.wait();
        }
        project.resume().run().code(0);
    });
    let mut wanted: Vec<&str> = TO_2_5.to_vec();
    wanted.push("imagestreamtag/postgresql:9.5 deleted");
    assert_eq!(done(&project), wanted);
    assert_eq!(project.replicas("zync"), 3, "0 was not captured");
}

/// A dump that breaks off, with and without an exit status that says so: zync goes on as before, and resuming
/// takes another.
#[test]
fn a_dump_that_breaks_off() {
    for (word, why) in [("dump-fails", "exit status 1"), ("dump-truncated", "exit status 1")] {
        let project = Project::new();
        project.only(&["preparation", "zync database"]).misbehave(word);
        let stopped = project.attended(project.start());
        stopped.code(20).stderr_has("dump of zync-database").stderr_has(why).stderr_has("start --resume");
        assert_eq!(project.replicas("zync"), 3);
        assert_eq!(project.tags("postgresql"), ["9.5"], "nothing else was done");
        assert_eq!(project.count("deploymentconfig/zync scaled to 3"), 1, "undone, once");
        project.misbehave("");
        project.attended(project.resume()).code(0);
        assert_eq!(project.count("database imported"), 1);
        assert_eq!(project.count("zync started on an empty database"), 0);
        assert_eq!(project.replicas("zync"), 3);
    }
}

/// Zync runs again while the run is stopped. What it writes then must not be lost by importing the dump from before.
#[test]
fn a_dump_from_before_zync_ran_again_is_not_imported() {
    let project = Project::new();
    project
        .only(&["preparation", "zync database"])
        .edit("procedure.yaml", "timeout: 10m", "timeout: 4s")
        .misbehave("import-stuck");
    let stopped = project.attended(project.start());
    stopped.code(20).stderr_has("tag-10-imported").stderr_has("start --resume");
    assert_eq!(project.replicas("zync"), 3);
    assert!(project.read("oc-state/zync.sql").contains("of start 1"), "zync has written");
    project.misbehave("").edit("procedure.yaml", "timeout: 4s", "timeout: 10m");
    project.attended(project.resume()).code(0);
    assert_eq!(project.count("database dumped"), 2);
    let sql = project.read("oc-state/zync.sql");
    assert_eq!(sql.matches("of start 1").count(), 1, "{sql}");
    let gone = project.files_below("3scale-2.5-backups");
    let dumps = gone.iter().filter(|(path, _)| path.to_string_lossy().contains("backup-for-2.5.gz"));
    assert_eq!(dumps.count(), 2, "neither dump is thrown away or overwritten");
}

/// The pod of the new database is not ready, so nothing can be imported: zync stays at 0 until it is.
#[test]
fn zync_is_not_started_on_an_empty_database() {
    let project = Project::new();
    project
        .only(&["preparation", "zync database"])
        .edit("procedure.yaml", "timeout: 15m", "timeout: 4s")
        .misbehave("never-ready zync-database");
    let stopped = project.attended(project.start());
    stopped.code(20).stderr_has("runs-postgresql-10").stderr_has("still in force:").stderr_has("zync to 0");
    assert_eq!(project.replicas("zync"), 0);
    assert_eq!(project.read("oc-state/zync.sql"), "");

    // Once the pod is well, the changes are undone with the data back, and the run goes on.
    project.misbehave("");
    project.oc(&["rollout", "latest", "dc/zync-database"]).code(0);
    project.attended(project.resume()).code(0);
    assert_eq!(project.count("zync started on an empty database"), 0);
    assert_eq!(project.count("database imported"), 1);
    assert_eq!(project.replicas("zync"), 3);
    assert!(project.read("oc-state/zync.sql").contains("acme-admin.example.org"));
}

#[test]
fn a_secret_that_is_only_said_to_be_stored() {
    let project = Project::new();
    project.without_zync(&["database secret"]).misbehave("exit-0-after-failure replace");
    let stopped = project.attended(project.start());
    stopped.code(20).stderr_has("secret-holds-both").stderr_has("start --resume").lacks("rd-4711");
    assert_eq!(project.count("deploymentconfig/system-mysql deployed"), 0, "no service was lost");
}

/// The tag that is said to be deleted is there; and a server that does not answer is no proof of the contrary.
#[test]
fn a_tag_that_is_only_said_to_be_deleted() {
    for word in ["exit-0-after-failure tag", "unreachable imagestreamtag"] {
        let project = Project::new();
        project
            .without_zync(&["old tag"])
            .edit("procedure.yaml", "checks: [runs-postgresql-10, all-ready]", "checks: [all-ready]")
            .misbehave(word);
        let stopped = project.start().run();
        assert_ne!(stopped.exit_code(), 0, "{word}");
        stopped.stderr_has("old-tag-gone");
        assert_eq!(project.tags("postgresql"), ["9.5"], "{word}");
    }
}

#[test]
fn a_second_pod_of_the_database_stops_it_before_anything_is_changed() {
    let project = Project::new();
    project.without_zync(&["database secret"]).misbehave("second-pod system-mysql");
    project.start().run().code(12).stderr_has("pod of system-mysql on operator: 2 pods");
    assert_eq!(done(&project), [""; 0]);
}

/// The page's other branch. Nobody but a human can say that the migration was made.
#[test]
fn with_oracle() {
    let project = Project::new();
    project.without_zync(&["images", "Oracle"]).edit("inventory.yaml", "database: mysql", "database: oracle");
    let stopped = project.start().run();
    stopped.code(11).stderr_has("--override 'make the migration=REASON'");
    let scaled = |name: &str, count: usize| format!("deploymentconfig/{name} scaled to {count}");
    for (name, count) in [("system-app", 2), ("system-sidekiq", 1), ("system-sphinx", 1)] {
        assert_eq!((project.count(&scaled(name, 0)), project.count(&scaled(name, count))), (1, 1), "{name}");
        assert_eq!(project.replicas(name), count as u64);
    }
    let flags = ["start", "--yes", "--confirm", "3scale-prod", "--resume", "--override"];
    let flags: Vec<&str> = flags.into_iter().chain(["make the migration=support did it"]).collect();
    project.rollgate(&flags).run().code(0);
    assert_eq!(project.tags("amp-system"), ["2.4.0", "latest", "2.5.0"], "latest is for other databases");
    assert_eq!(project.count("buildconfig/3scale-amp-system-oracle built from amp-system:2.5.0"), 1);
    assert_eq!(project.replicas("system-app"), 2);
    assert_eq!(project.count(&scaled("system-app", 0)), 2, "stopped again for the rest of the phase");
}

#[test]
fn guards() {
    let project = Project::new();
    project.oc(&["project", "default"]).code(0);
    let refused = project.start().run();
    refused.code(12).stderr_has("oc is in another project than 3scale-prod");
    project.oc(&["project", "3scale-prod"]).code(0);
    project.misbehave("unauthorized");
    project.start().run().code(12).stderr_has("nobody is logged in");
    project.misbehave("");
    project.oc(&["set", "env", "dc/system-app", "AMP_RELEASE=2.3.0"]).code(0);
    project.start().run().code(12).stderr_has("from 2.4 to 2.5 and from nowhere else");
    assert_eq!(done(&project), ["deploymentconfig/system-app updated"]);
    // The files name the tools, and can be looked at where there are none.
    project.rollgate(&["check", "--syntax-only"]).env("PATH", "/nonexistent").run().code(0);
    project.rollgate(&["check"]).env("PATH", "/nonexistent").run().code(12).stderr_has("needs `oc`");
}
