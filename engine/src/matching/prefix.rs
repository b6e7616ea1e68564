//! Which of many beginnings a text has.

use std::cmp::Ordering;

/// Numbers by the beginning that a text must have.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    /// Sorted by the beginning.
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    /// The first bytes, so that few texts are compared.
    head: u64,
    beginning: Box<[u8]>,
    numbers: Vec<u32>,
    /// The longest other beginning that this one begins with.
    shorter: Option<usize>,
}

impl Prefixes {
    pub(super) fn new(mut numbered: Vec<(Vec<u8>, u32)>) -> Self {
        numbered.sort();
        let mut nodes: Vec<Node> = Vec::new();
        for (beginning, number) in numbered {
            match nodes.last_mut() {
                Some(last) if *last.beginning == *beginning => last.numbers.push(number),
                _ => {
                    let shorter = chain(&nodes, nodes.len().checked_sub(1))
                        .find(|at| beginning.starts_with(&nodes[*at].beginning));
                    let (head, beginning) = (head(&beginning), beginning.into());
                    nodes.push(Node { head, beginning, numbers: vec![number], shorter });
                }
            }
        }
        Self { nodes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Sees the numbers whose beginnings `text` has.
    pub(super) fn find(&self, text: &[u8], mut see: impl FnMut(u32)) {
        // All beginnings of the text come before it, and the last of what comes before it begins
        // with each of them.
        let head = head(text);
        let before = self.nodes.partition_point(|node| match node.head.cmp(&head) {
            Ordering::Equal => *node.beginning <= *text,
            order => order.is_lt(),
        });
        for at in chain(&self.nodes, before.checked_sub(1)) {
            if text.starts_with(&self.nodes[at].beginning) {
                self.nodes[at].numbers.iter().for_each(|number| see(*number));
            }
        }
    }
}

/// A node and the ever shorter beginnings of it.
fn chain(nodes: &[Node], from: Option<usize>) -> impl Iterator<Item = usize> {
    std::iter::successors(from, |at| nodes[*at].shorter)
}

/// Ordered as the texts are, as far as it goes.
fn head(text: &[u8]) -> u64 {
    let mut head = [0; 8];
    let length = text.len().min(8);
    head[..length].copy_from_slice(&text[..length]);
    u64::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_beginnings_of_a_text_are_found() {
        let texts = ["GET /", "GET /api/v1", "GET /api", "GET /apx", "G", "POST", "GET /api"];
        let numbered = (0..).zip(texts).map(|(number, text)| (text.as_bytes().to_vec(), number));
        let prefixes = Prefixes::new(numbered.collect());
        for text in ["GET /api/v2", "GET /api/v1/x", "GET", "", "POST", "Z", "GET /apz", "GET /api"]
        {
            let mut found = Vec::new();
            prefixes.find(text.as_bytes(), |number| found.push(number));
            found.sort_unstable();
            let begins = |number: &u32| text.starts_with(texts[*number as usize]);
            assert_eq!(found, (0..7).filter(begins).collect::<Vec<u32>>(), "{text}");
        }
    }
}
