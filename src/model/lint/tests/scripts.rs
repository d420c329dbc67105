//! What the text of a script says by itself.

use super::*;

#[test]
fn appending_twice() {
    let patch = r#"oc patch imagestream/x --type json -p '[{"op":"add","path":"/spec/tags/-","value":1}]'"#;
    let escaped = r#"oc patch x -p "[{\"op\":\"add\",\"path\":\"/spec/tags/-\"}]""#;
    for body in ["echo x >> /etc/conf", "echo x | sudo tee -a /etc/conf", patch, escaped] {
        assert_eq!(rules(body), ["appends"], "{body}");
        let mut step = sh(body);
        step.skip_if = Some(CheckRef::Inline(Box::new(asking("there"))));
        assert!(of(vec![upgrade(vec![step])]).is_empty(), "{body}");
    }
    for body in [
        "echo x > /etc/conf",
        "echo x >> /dev/stderr",
        "up >> up.log 2>&1",
        "echo a > /tmp/x\necho b >> /tmp/x",
        "grep -q x /etc/conf || echo x >> /etc/conf",
        "sed -n 's/>>/x/p' f",
        "cat <<'EOF' > /usr/local/bin/x\necho y >> z\nEOF",
    ] {
        assert!(rules(body).is_empty(), "{body}");
    }
}

#[test]
fn a_secret_on_the_screen() {
    for body in [
        "echo $password",
        "echo \"it is ${password}\" >&2",
        "printf '%s\\n' \"$password\"",
        "set -x; login <<< \"$password\"\n: \"$password\"",
    ] {
        assert_eq!(rules(body), ["secret-shown"], "{body}");
    }
    for body in [
        "printf %s \"$password\" | login",
        "echo \"$password\" > /run/secret",
        "sum=$(printf %s \"$password\" | sha256sum)",
        "echo '$password' \\$password",
        "echo $target",
    ] {
        assert!(!rules(body).contains(&"secret-shown"), "{body}");
    }
}

#[test]
fn a_secret_that_is_exported() {
    for body in [
        "export password",
        "export PGPASSWORD=\"$password\"; psql",
        "declare -x password; psql",
        "export password=x",
        "[ -n \"$password\" ] && export PW=\"$password\"",
    ] {
        assert_eq!(rules(body), ["secret-exported"], "{body}");
    }
    for body in
        ["PGPASSWORD=\"$password\" psql", "export target", "pw=$password", "declare -r pw=\"$password\""]
    {
        assert!(rules(body).is_empty(), "{body}: {:?}", rules(body));
    }
}

#[test]
fn a_secret_by_its_name_and_one_as_it_is_stored() {
    for body in [
        "DB_PASSWORD=$(ask); echo $DB_PASSWORD",
        "oc get secret system-database -o yaml",
        "kubectl get secret/x -o json",
        "oc get secret x -o json | jq -r '.data.PASSWORD' | base64 -d",
    ] {
        let found = of(vec![upgrade(vec![bash(body)])]);
        assert_eq!(found.iter().map(|found| found.rule).collect::<Vec<_>>(), ["secret-shown"], "{body}");
    }
    let guessed = of(vec![upgrade(vec![bash("TOKEN=$(ask); api --token $TOKEN")])]);
    assert_eq!((guessed[0].rule, guessed[0].severity), ("secret-argument", Severity::Warning));
    for body in [
        "tokens=3 password_file=/x; echo $tokens $password_file",
        "oc get secret x -o yaml > \"$f\"",
        "oc get secret x",
        "oc get dc x -o yaml",
        "[ \"$(oc get secret x -o json | jq .data.PASSWORD | base64 -d)\" = y ]",
        "cat logo | base64 -d",
    ] {
        let f = "f=/x; ";
        assert!(of(vec![upgrade(vec![bash(&format!("{f}{body}"))])]).is_empty(), "{body}");
    }
}

#[test]
fn a_prompt_that_was_copied() {
    assert_eq!(rules("$ oc edit configmap system"), ["copied-prompt"]);
    for body in ["echo $ x", "'$' x", "echo a | grep a$"] {
        assert!(!rules(body).contains(&"copied-prompt"), "{body}");
    }
}

#[test]
fn a_secret_in_the_list_of_processes() {
    for body in [
        "mysql -p\"$password\"",
        "sudo curl -u \"me:${password}\" https://x",
        "sudo PGPASSWORD=\"$password\" psql",
        "x=$(vault read --token=$password)",
    ] {
        assert_eq!(rules(body), ["secret-argument"], "{body}");
    }
    for body in [
        "PGPASSWORD=\"$password\" psql",
        "login <<EOF\n$password\nEOF",
        "case $password in ?*) ;; esac",
        "login < \"$(mktemp)\"",
    ] {
        assert!(rules(body).is_empty(), "{body}");
    }
    // A captured one is a secret as well, and a check's script is a script.
    let phases = vec![upgrade(vec![capturing("token", true), sh("api --token $token")])];
    assert_eq!(of(phases)[0].rule, "secret-argument");
    let mut procedure = procedure(vec![upgrade(vec![run("up")])]);
    procedure.version = Some(Script { body: "v -p $password".into(), shell: Shell::Sh, become_with: None });
    assert_eq!(said(&lint(&cluster(), &procedure)).len(), 1);
}

#[test]
fn a_failure_before_a_pipe() {
    for body in
        ["pg_dumpall | gzip > dump.gz", "pod=$(oc get pods | awk '{print $1}')", "a && b | c", "cat f | sort"]
    {
        assert_eq!(rules(body), ["hidden-failure"], "{body}");
        let Action::Run(run) = bash(body).action else { panic!("a run") };
        assert_eq!(run.script.shell, Shell::Bash);
        assert!(of(vec![upgrade(vec![bash(body)])]).is_empty(), "{body}");
    }
    for body in ["echo x | tee f", "if ps | grep x; then y; fi", "a || b"] {
        assert!(rules(body).is_empty(), "{body}");
    }
    let in_a_check = rolling("all", |phase| {
        let mut step = check("asked");
        step.action = Action::Check(CheckRef::Inline(Box::new(asking("ss -Htn | wc -l"))));
        phase.precheck = vec![step];
    });
    assert!(of(vec![in_a_check]).is_empty(), "a check changes nothing");
}

#[test]
fn a_script_from_the_network() {
    for body in ["curl -fsSL https://x/install.sh | sh", "wget -qO- x | sudo bash -s -- -y"] {
        assert!(rules(body).contains(&"unverified-script"), "{body}");
    }
    assert!(!rules("curl -o x https://x; sh x").contains(&"unverified-script"));
    assert!(!rules("curl https://x | jq .").contains(&"unverified-script"));
}

#[test]
fn the_operators_own_way_in() {
    for body in [
        "echo 'ALL: ALL' > /etc/hosts.deny",
        "iptables -A INPUT -p tcp --dport 22 -j DROP",
        "nft add rule inet filter input tcp dport ssh drop",
        "sed -i 's/^Port.*/Port 2222/' /etc/ssh/sshd_config",
        "ufw enable",
        "systemctl stop sshd.service",
        "echo 'AllowUsers ops' >/srv/sshd.d/10.conf",
        "echo 'PermitRootLogin no' >/srv/sshd.d/20.conf",
        "rm -f /root/.ssh/authorized_keys",
    ] {
        assert_eq!(rules(body), ["cuts-ssh"], "{body}");
        let undone = of(vec![upgrade(vec![sh(body).temporary(Scope::Node)])]);
        assert!(undone[0].message.contains("nothing proves a new login"), "{body}: {undone:?}");
        let proved = sh(body).restricting(None).temporary(Scope::Node);
        assert!(of(vec![upgrade(vec![proved])]).is_empty(), "{body}");
    }
    for body in [
        "grep Port /etc/ssh/sshd_config",
        "iptables -A INPUT -p tcp --dport 2210 -j DROP",
        "systemctl stop nginx",
        "ssh other true",
    ] {
        assert!(rules(body).is_empty(), "{body}");
    }
}

/// What is wrong with the page from which 3scale is upgraded (2.4 to 2.5).
#[test]
fn the_3scale_page() {
    let steps = vec![
        sh("oc get secret system-database -o jsonpath={.data.PASSWORD} > pw\necho \"$password\""),
        sh("pg_dumpall | gzip > 3scale.sql.gz"),
        sh("oc scale dc/zync --replicas=0"),
        sh(
            r#"oc patch imagestream/amp-zync --type=json -p '[{"op": "add", "path": "/spec/tags/-", "value": {"name": "2.5"}}]'"#,
        ),
        sh(
            "pod=$(oc get pods | grep -i system-mysql | awk '{print $1}')\noc rsh $pod mysqldump -p$password > dump.sql",
        ),
        sh("oc scale dc/zync --replicas=${ZYNC_REPLICAS}"),
    ];
    let inventory = Inventory { nodes: Vec::new(), ..cluster() };
    let found = lint(&inventory, &procedure(vec![single("upgrade", steps)]));
    let found: Vec<_> =
        found.iter().map(|found| (found.severity, found.rule, found.place.as_str())).collect();
    assert_eq!(
        found,
        [
            (Severity::Error, "unset-variable", "phases[0].steps[5].run"),
            (Severity::Error, "secret-argument", "phases[0].steps[4].run"),
            (Severity::Warning, "secret-shown", "phases[0].steps[0].run"),
            (Severity::Warning, "hidden-failure", "phases[0].steps[1].run"),
            (Severity::Warning, "appends", "phases[0].steps[3].run"),
            (Severity::Warning, "hidden-failure", "phases[0].steps[4].run"),
        ]
    );
}

#[test]
fn a_stage_step_is_a_step() {
    let mut procedure = procedure(vec![upgrade(vec![run("up")])]);
    procedure.stage = vec![sh("pull $image")];
    let named = Step { name: Some(StepName::parse("pull").unwrap()), ..sh("pull $target") };
    assert_eq!(said(&lint(&cluster(), &procedure)), ["unset-variable stage[0].run: `image` is not set"]);
    procedure.stage = vec![named];
    assert!(lint(&cluster(), &procedure).is_empty());
}
