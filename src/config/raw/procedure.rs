//! The procedure as written.

use super::{Entries, OneOrMany, Or, RawCondition, Scalar, mapping};

mapping! {
    /// The whole file, or the inline mapping.
    RawProcedure {
        procedure: Scalar,
        requires: RawRequires,
        version: Or<RawScript>,
        to: Scalar,
        artifacts: Vec<RawArtifact>,
        checks: Entries<RawCheck>,
        roles: Entries<RawRole>,
        invariants: Vec<Scalar>,
        refuse: Vec<RawGuard>,
        stage: Vec<RawStep>,
        phases: Vec<RawPhase>,
    }
}

mapping! {
    /// What must be there before anything else.
    RawRequires {
        tools: Vec<Scalar>,
    }
}

mapping! {
    /// A script in full.
    RawScript {
        run: Scalar,
        shell: Scalar,
        r#become: Scalar,
    }
}

mapping! {
    /// A file that `stage` copies.
    RawArtifact {
        source: Scalar,
        sha256: Scalar,
        nodes: OneOrMany,
    }
}

mapping! {
    /// A check.
    RawCheck {
        name: Scalar,
        run: Scalar,
        shell: Scalar,
        r#become: Scalar,
        on: Scalar,
        value: Scalar,
        at: Scalar,
        unit: Scalar,
        evidence: Scalar,
        remedy: Scalar,
        columns: Vec<Scalar>,
        timeout: Scalar,
    } + condition
}

mapping! {
    /// A role: a check, who is asked, and how many must have it.
    RawRole {
        run: Scalar,
        shell: Scalar,
        r#become: Scalar,
        value: Scalar,
        at: Scalar,
        timeout: Scalar,
        of: OneOrMany,
        exactly: usize,
    } + condition
}

impl RawRole {
    /// The question without the set.
    pub(crate) fn check(&self) -> RawCheck {
        let condition = self.condition();
        RawCheck {
            run: self.run.clone(),
            shell: self.shell.clone(),
            r#become: self.r#become.clone(),
            value: self.value.clone(),
            at: self.at.clone(),
            timeout: self.timeout.clone(),
            equals: condition.equals,
            not_equals: condition.not_equals,
            at_least: condition.at_least,
            at_most: condition.at_most,
            matches: condition.matches,
            not_matches: condition.not_matches,
            one_of: condition.one_of,
            none_of: condition.none_of,
            empty: condition.empty,
            count_at_most: condition.count_at_most,
            count_at_least: condition.count_at_least,
            count_equals: condition.count_equals,
            ..RawCheck::default()
        }
    }
}

mapping! {
    /// A guard.
    RawGuard {
        check: Or<RawCheck>,
        because: Scalar,
    }
}

mapping! {
    /// The value of a variable, and what must hold of it.
    RawWhen {
        var: Scalar,
    } + condition
}

mapping! {
    /// A point of no return in full.
    RawPoint {
        text: Scalar,
        rollback_possible: bool,
    }
}

mapping! {
    /// A phase of either shape.
    RawPhase {
        name: Scalar,
        when: RawWhen,
        point_of_no_return: Or<RawPoint>,
        nodes: OneOrMany,
        batch: OneOrMany,
        last: Scalar,
        spread: Scalar,
        max_failures: usize,
        precheck: Vec<RawStep>,
        drain: Vec<RawStep>,
        upgrade: Vec<RawStep>,
        verify: Vec<RawStep>,
        undrain: Vec<RawStep>,
        soak: RawSoak,
        steps: Vec<RawStep>,
        rollback: Vec<RawStep>,
    }
}

mapping! {
    /// A time during which checks must hold.
    RawSoak {
        r#for: Scalar,
        every: Scalar,
        checks: Vec<Or<RawCheck>>,
    }
}

mapping! {
    /// Checks watched while a step runs.
    RawDuring {
        every: Scalar,
        checks: Vec<Or<RawCheck>>,
    }
}

mapping! {
    /// A value kept for later steps.
    RawCapture {
        name: Scalar,
        value: Scalar,
        at: Scalar,
        exactly_one: bool,
        not_empty: bool,
        one_of: Vec<Scalar>,
        map: Entries<Scalar>,
        secret: bool,
    }
}

mapping! {
    /// The way to undo a step.
    RawUndo {
        run: Scalar,
        shell: Scalar,
        r#become: Scalar,
        manual: Scalar,
    }
}

mapping! {
    /// A file to the node.
    RawPut {
        source: Scalar,
        to: Scalar,
        mode: Scalar,
    }
}

mapping! {
    /// A file from the node.
    RawGet {
        from: Scalar,
        to: Scalar,
    }
}

mapping! {
    /// A step of any kind. Which keys go together is checked when it is lowered.
    RawStep {
        name: Scalar,
        run: Scalar,
        check: Or<RawCheck>,
        wait: Or<RawCheck>,
        gate: Scalar,
        manual: Scalar,
        reboot: Scalar,
        put: RawPut,
        get: RawGet,
        when: RawWhen,
        on: Scalar,
        timeout: Scalar,
        retries: u32,
        skip_if: Or<RawCheck>,
        undo: Or<RawUndo>,
        temporary: Scalar,
        capture: Or<RawCapture>,
        point_of_no_return: Or<RawPoint>,
        shell: Scalar,
        r#become: Scalar,
        stdin: Scalar,
        cwd: Scalar,
        env: Entries<Scalar>,
        ok_codes: Vec<i32>,
        interactive: bool,
        during: RawDuring,
        checks: Vec<Or<RawCheck>>,
        question: Scalar,
        steady: u32,
        every: Scalar,
        typed: bool,
        fail_when: RawCondition,
        r#while: RawCondition,
        per: Or<RawScript>,
        show: Or<RawScript>,
        reboots: bool,
        done_if: Or<RawCheck>,
        retry: Scalar,
    }
}
