//! What was left out, gathered: one remark, and the nodes of which it is true.

/// The most nodes that a remark names.
const NAMED: usize = 4;
/// The most remarks; who has more reads Ansible's own inventory beside this one.
const REMARKS: usize = 40;

/// Remarks in the order in which they first came up.
#[derive(Debug, Default)]
pub(super) struct Notes {
    remarks: Vec<(String, Vec<String>)>,
}

impl Notes {
    /// Notes it of a node or group.
    pub(super) fn add(&mut self, remark: impl Into<String>, of: &str) {
        let remark = ascii(&remark.into());
        let of = ascii(of);
        match self.remarks.iter_mut().find(|(known, _)| *known == remark) {
            Some((_, all)) if all.contains(&of) => {}
            Some((_, all)) => all.push(of),
            None => self.remarks.push((remark, vec![of])),
        }
    }

    /// The remarks, one line each.
    pub(super) fn into_lines(self) -> Vec<String> {
        let more = self.remarks.len().saturating_sub(REMARKS);
        let mut lines: Vec<String> = self
            .remarks
            .into_iter()
            .take(REMARKS)
            .map(|(remark, of)| {
                let rest = of.len().saturating_sub(NAMED);
                let named = of[..of.len() - rest].join(", ");
                let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
                format!("{remark} ({named}{rest})")
            })
            .collect();
        if more > 0 {
            lines.push(format!("and {more} more of the kind"));
        }
        lines
    }
}

/// What came from elsewhere, on one line and without power over a terminal or a comment.
pub(super) fn ascii(text: &str) -> String {
    let shown: String = text.chars().take(200).flat_map(char::escape_default).collect();
    let shown = shown.replace("\\'", "'").replace("\\\"", "\"");
    if text.chars().count() > 200 { format!("{shown}...") } else { shown }
}
