//! The inventory as written.

use super::procedure::RawProcedure;
use super::{Entries, Mappings, OneOrMany, Or, Scalar, mapping};

mapping! {
    /// The whole file.
    RawInventory {
        cluster: Scalar,
        procedure: Or<RawProcedure>,
        ssh: RawSsh,
        r#become: Scalar,
        state_dir: Scalar,
        vars: Entries<Scalar>,
        secrets: Entries<RawSecret>,
        window: Mappings<RawWindow>,
        groups: Entries<RawGroup>,
        nodes: Vec<RawNode>,
    }
}

mapping! {
    /// What ssh is told.
    RawSsh {
        user: Scalar,
        port: u16,
        identity_file: Scalar,
        jump: OneOrMany,
        connect_timeout: Scalar,
        reconnect_timeout: Scalar,
        config_file: Scalar,
        known_hosts: Scalar,
        host_keys: Scalar,
    }
}

mapping! {
    /// Where a secret comes from; exactly one key.
    RawSecret {
        env: Scalar,
        file: Scalar,
        command: Scalar,
        prompt: Scalar,
    }
}

mapping! {
    /// Hours in which turns may begin.
    RawWindow {
        open: Scalar,
        close: Scalar,
        zone: Scalar,
    }
}

mapping! {
    /// A group.
    RawGroup {
        vars: Entries<Scalar>,
    }
}

mapping! {
    /// A node, or several of them by a range.
    RawNode {
        name: Scalar,
        host: Scalar,
        port: u16,
        user: Scalar,
        connection: Scalar,
        groups: OneOrMany,
        vars: Entries<Scalar>,
        r#become: Scalar,
        state_dir: Scalar,
    }
}
