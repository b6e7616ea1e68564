use super::*;

const LIMIT: usize = 16;

/// Records as `<stream><marks>:<content>`; `!` marks a cut one, `?` a foreign one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen(Vec<String>);

impl Seen {
    fn add(&mut self, record: Record<'_>) {
        let stream = if record.stream == Stream::Stdout { "o" } else { "e" };
        let cut = if record.cut { "!" } else { "" };
        let foreign = if record.foreign { "?" } else { "" };
        let content = String::from_utf8_lossy(record.content);
        self.0.push(format!("{stream}{cut}{foreign}:{content}"));
    }
}

/// `oP abc` stands for a CRI line; other lines are taken as they are.
fn file(lines: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines.split('|') {
        let (head, content) = line.split_at_checked(2).unwrap_or((line, ""));
        let head = match head {
            "oP" => "1970-01-01T00:00:01Z stdout P",
            "oF" => "1970-01-01T00:00:01.5Z stdout F",
            "eP" => "1970-01-01T00:00:01Z stderr P",
            "eF" => "1970-01-01T00:00:01Z stderr F",
            other => other,
        };
        bytes.extend_from_slice(format!("{head}{content}\n").as_bytes());
    }
    bytes
}

fn read_whole(bytes: &[u8]) -> (Vec<String>, u64) {
    let mut joiner = Joiner::resume(Mark::at(0), LIMIT);
    let mut seen = Seen::default();
    joiner.push(bytes, usize::MAX, &mut |record| seen.add(record));
    assert_eq!(joiner.position(), bytes.len() as u64);
    (seen.0, joiner.take_bytes_cut())
}

#[track_caller]
fn check(lines: &str, expected: &[&str], bytes_cut: u64) {
    assert_eq!(
        read_whole(&file(lines)),
        (expected.iter().map(ToString::to_string).collect(), bytes_cut)
    );
}

#[test]
fn partial_lines_are_joined_for_each_stream() {
    check("oP ab|eP 12|oP cd|oF ef|eF 34|oF x", &["o:abcdef", "e:1234", "o:x"], 0);
}

#[test]
fn a_long_record_leaves_at_its_limit_and_its_rest_is_counted() {
    check(
        "oP 0123456789|oP 0123456789|oP abc|eF x|oF de|oF y",
        &["o!:0123456789012345", "e:x", "o:y"],
        9,
    );
    check("oF 0123456789abcdefgh|oF y", &["o!:0123456789abcdef", "o:y"], 2);
}

#[test]
fn a_line_longer_than_memory_allows_is_cut_too() {
    let long = format!("oF {}|oF y", "z".repeat(1000));
    check(&long, &["o!:zzzzzzzzzzzzzzzz", "o:y"], 984);
}

#[test]
fn foreign_lines_are_passed_on_whole_and_end_what_was_open() {
    check("oP a|words|oF b||oF c", &["o:a", "o?:words", "o:b", "o:c"], 0);
    check("words of more than sixteen bytes", &["o!?:words of more th"], 16);
}

#[test]
fn the_time_is_that_of_the_first_line() {
    let mut times = Vec::new();
    let mut joiner = Joiner::resume(Mark::at(0), LIMIT);
    joiner
        .push(&file("oP a|oF b|oF c"), usize::MAX, &mut |record| times.push(record.time_unix_nano));
    assert_eq!(times, [1_000_000_000, 1_500_000_000]);
}

#[test]
fn what_is_unfinished_at_the_end_is_given_out() {
    let mut bytes = file("oP a|eP b");
    bytes.extend_from_slice(b"1970-01-01T00:00:01Z stdout P c");
    let mut joiner = Joiner::resume(Mark::at(0), LIMIT);
    let mut seen = Seen::default();
    joiner.push(&bytes, usize::MAX, &mut |record| seen.add(record));
    assert_eq!(seen.0, Vec::<String>::new());
    joiner.finish(&mut |record| seen.add(record));
    assert_eq!(seen.0, ["o:ac", "e:b"]);
    assert_eq!(joiner.mark(), Mark::at(bytes.len() as u64));
}

/// Seeded, so that a failure can be played again (SplitMix64).
struct Seed(u64);

impl Seed {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

fn random_file(seed: &mut Seed) -> Vec<u8> {
    let lines: Vec<String> = (0..1 + seed.below(20))
        .map(|number| {
            let head = ["oP ", "oF ", "eP ", "eF ", "oF ", "", "foreign "][seed.below(7)];
            let filler = ["", "x", "0123456789", "0123456789abcdef0"][seed.below(4)];
            let repeats = if seed.below(10) == 0 { 20 } else { 1 };
            format!("{head}{number}{}", filler.repeat(repeats))
        })
        .collect();
    file(&lines.join("|"))
}

#[test]
fn any_split_into_reads_gives_the_same_records() {
    for number in 0..2000 {
        let mut seed = Seed(number);
        let bytes = random_file(&mut seed);
        let mut joiner = Joiner::resume(Mark::at(0), LIMIT);
        let mut seen = Seen::default();
        while (joiner.position() as usize) < bytes.len() {
            let rest = &bytes[joiner.position() as usize..];
            let read = &rest[..rest.len().min(1 + seed.below(40))];
            joiner.push(read, 1 + seed.below(3), &mut |record| seen.add(record));
        }
        assert_eq!((seen.0, joiner.take_bytes_cut()), read_whole(&bytes), "seed {number}");
    }
}

#[test]
fn resuming_from_any_mark_repeats_nothing_and_misses_nothing() {
    for number in 0..2000 {
        let mut seed = Seed(number);
        let bytes = random_file(&mut seed);
        let mut joiner = Joiner::resume(Mark::at(0), LIMIT);
        let mut seen = Seen::default();
        while (joiner.position() as usize) < bytes.len() {
            let rest = &bytes[joiner.position() as usize..];
            let read = &rest[..rest.len().min(1 + seed.below(90))];
            joiner.push(read, 1 + seed.below(3), &mut |record| seen.add(record));
            joiner = Joiner::resume(joiner.mark(), LIMIT);
            if read.len() == rest.len() {
                break;
            }
            // A mark may stand before the read, so a second pass over the same bytes must end.
            let rest = &bytes[joiner.position() as usize..];
            joiner.push(rest, 1, &mut |record| seen.add(record));
        }
        let rest = &bytes[joiner.position() as usize..];
        joiner.push(rest, usize::MAX, &mut |record| seen.add(record));
        assert_eq!(seen.0, read_whole(&bytes).0, "seed {number}");
    }
}
