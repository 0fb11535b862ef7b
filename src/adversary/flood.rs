//! A flood to order: human and machine texts in one timed stream, with the truth about each.
//!
//! Takes a [`Plan`] and texts; gives [`Post`]s with their times, and posts them as their time comes. Which post comes when and whose it is
//! depends on the plan and the seed alone. Time is asked of a [`Clock`]; must not read one itself.

use super::{
    AdversaryError, Human, Random, Row,
    output::{Output, Sink},
};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};
use std::{str::FromStr, time::Duration};

/// Posts that a plan may come to.
const MOST_POSTS: f64 = 10_000_000.;
/// Posts that are sent in one request, where many are due.
const AT_ONCE: usize = 256;
/// Streams of randomness apart from those of texts.
const ARRIVALS: u64 = (1 << 63) | (1 << 62);
const CHOICE: u64 = ARRIVALS | 1;

/// How a flood goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Posts a second, on average.
    pub rate: f64,
    /// Share of machine posts after the onset.
    pub share: f64,
    /// Seconds from the start to the flood.
    pub onset: f64,
    /// Seconds in all.
    pub duration: f64,
    /// Key of the stream that is flooded.
    pub stream: String,
}

impl FromStr for Plan {
    type Err = String;

    /// `rate=20/s,share=0.4,onset=60s`, and where wanted `duration=120s` (otherwise twice the onset, at least a minute more) and
    /// `stream=KEY` (otherwise `flood`).
    fn from_str(s: &str) -> Result<Self, String> {
        let (mut rate, mut share, mut onset, mut duration, mut stream) = (None, None, None, None, "flood".to_owned());
        for part in s.split(',') {
            let (name, value) = part.split_once('=').ok_or_else(|| format!("`{part}` has no value; expected {EXAMPLE}"))?;
            match name.trim() {
                "rate" => rate = Some(per_second(value).ok_or_else(|| format!("rate `{value}` is no rate above 0, such as 20/s or 90/m"))?),
                "share" => {
                    let found = value.parse().ok().filter(|x: &f64| (0. ..=1.).contains(x));
                    share = Some(found.ok_or_else(|| format!("share `{value}` is no share from 0 to 1"))?);
                }
                "onset" => onset = Some(seconds(value).ok_or_else(|| format!("onset `{value}` is no time, such as 60s or 5m"))?),
                "duration" => duration = Some(seconds(value).ok_or_else(|| format!("duration `{value}` is no time, such as 120s or 1h"))?),
                "stream" => stream = value.to_owned(),
                other => return Err(format!("`{other}` is none of rate, share, onset, duration and stream")),
            }
        }
        let missing = |name: &str| format!("`{name}` is missing; expected {EXAMPLE}");
        let (rate, share, onset) =
            (rate.ok_or_else(|| missing("rate"))?, share.ok_or_else(|| missing("share"))?, onset.ok_or_else(|| missing("onset"))?);
        let duration = duration.unwrap_or_else(|| (2. * onset).max(onset + 60.));
        if duration <= onset {
            return Err(format!("a flood that begins after {onset} s is not seen in {duration} s; give a longer duration"));
        }
        if duration * rate > MOST_POSTS {
            return Err(format!("{} posts are more than the {MOST_POSTS} that one flood may have", duration * rate));
        }
        if stream.is_empty() || stream.len() > 256 || stream.chars().any(char::is_control) {
            return Err("a stream key takes 1 to 256 bytes without control characters".to_owned());
        }
        Ok(Self { rate, share, onset, duration, stream })
    }
}

const EXAMPLE: &str = "for example rate=20/s,share=0.4,onset=60s";

fn per_second(s: &str) -> Option<f64> {
    let (number, unit) = s.split_once('/').unwrap_or((s, "s"));
    let unit = match unit.trim() {
        "s" => 1.,
        "m" | "min" => 60.,
        "h" => 3600.,
        _ => return None,
    };
    number.trim().parse().ok().map(|n: f64| n / unit).filter(|n| n.is_finite() && *n > 0.)
}

fn seconds(s: &str) -> Option<f64> {
    let s = s.trim();
    let at = s.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(s.len());
    let unit = match &s[at..] {
        "ms" => 0.001,
        "" | "s" => 1.,
        "m" | "min" => 60.,
        "h" => 3600.,
        _ => return None,
    };
    s[..at].parse().ok().map(|n: f64| n * unit).filter(|n| n.is_finite() && *n >= 0.)
}

/// A place in the stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// Seconds from the start.
    pub at: f64,
    /// Whether a machine wrote it.
    pub machine: bool,
}

impl Plan {
    /// When posts come, and whose they are: a Poisson process, every post after the onset the machine's with probability `share`.
    pub fn arrivals(&self, seed: u64) -> Vec<Arrival> {
        let mut random = Random::new(seed, ARRIVALS);
        let (mut at, mut out) = (0., Vec::new());
        loop {
            at -= (1. - random.uniform()).ln() / self.rate;
            if at >= self.duration || out.len() as f64 >= MOST_POSTS {
                return out;
            }
            // drawn for every post, so that the onset does not move what comes after
            let machine = random.uniform() < self.share && at >= self.onset;
            out.push(Arrival { at, machine });
        }
    }
}

/// A post with the truth about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Post {
    /// The text's own id, numbered where it comes again.
    pub id: String,
    /// When it is posted.
    pub time: Timestamp,
    /// Key of the stream.
    pub stream: String,
    /// The text.
    pub text: String,
    /// `human` or `machine`.
    pub label: &'static str,
    /// What it is about.
    pub domain: Option<String>,
    /// Name of the model, where it is a machine's.
    pub generator: Option<String>,
    /// How its tokens were chosen.
    pub decoding: Option<String>,
    /// What it shares with a human text.
    pub pair: Option<String>,
    /// Name and hash of the model.
    pub model: Option<String>,
    /// Seconds from the start.
    #[serde(skip)]
    pub at: f64,
}

/// Joins arrivals and texts. Human texts come in a random order, all of them before any comes again; machine texts in theirs.
pub fn posts(plan: &Plan, seed: u64, start: Timestamp, (humans, machines): (&[Human], &[Row])) -> Vec<Post> {
    let mut random = Random::new(seed, CHOICE);
    let (mut order, mut rounds, mut next_machine) = (Vec::new(), 0, 0);
    let mut out = Vec::new();
    for Arrival { at, machine } in plan.arrivals(seed) {
        let time = start.checked_add(SignedDuration::from_secs_f64(at)).unwrap_or(start);
        let post = Post {
            id: String::new(),
            time,
            stream: plan.stream.clone(),
            text: String::new(),
            label: if machine { "machine" } else { "human" },
            domain: None,
            generator: None,
            decoding: None,
            pair: None,
            model: None,
            at,
        };
        out.push(if machine {
            let Some(row) = machines.get(next_machine % machines.len().max(1)) else { continue };
            let id = again(&row.id, next_machine / machines.len());
            next_machine += 1;
            let (generator, decoding, model) = (Some(row.generator.clone()), Some(row.decoding.clone()), Some(row.model.clone()));
            Post { id, text: row.text.clone(), domain: row.domain.clone(), generator, decoding, pair: row.pair.clone(), model, ..post }
        } else {
            if order.is_empty() {
                order = (0..humans.len()).collect();
                rounds += 1;
            }
            let Some(human) = (!order.is_empty()).then(|| order.swap_remove(random.below(order.len()))).and_then(|i| humans.get(i)) else {
                continue;
            };
            let id = again(human.id.as_deref().unwrap_or(&human.pair), rounds - 1);
            Post { id, text: human.text.clone(), domain: human.domain.clone(), pair: Some(human.pair.clone()), ..post }
        });
    }
    out
}

fn again(id: &str, times: usize) -> String {
    if times == 0 { id.to_owned() } else { format!("{id}#{}", times + 1) }
}

/// Tells the time and lets it pass.
pub trait Clock {
    /// Seconds from the start.
    fn now(&self) -> f64;

    /// Comes back after so long at the latest.
    fn rest(&mut self, time: Duration);

    /// Whether to stop before the next post.
    fn stopped(&self) -> bool {
        false
    }
}

/// Takes posts and answers them.
pub trait Door {
    /// Posts these; an answer each, in order.
    fn send(&mut self, posts: &[Post]) -> Result<Vec<Value>, AdversaryError>;
}

/// What a flood came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Outcome {
    /// Posts by people and by machines.
    pub posted: [u64; 2],
    /// Those of them that were flagged.
    pub flagged: [u64; 2],
    /// Posts that were answered by an error.
    pub errors: u64,
    /// Most seconds that a post was late.
    pub late: f64,
    /// Posts, and seconds, from the onset to the first answer that reported a flood.
    pub seen_after: Option<(u64, f64)>,
    /// Posts before the onset whose answer reported a flood.
    pub false_reports: u64,
    /// Stopped before its end.
    pub cancelled: bool,
}

/// Posts each post when its time has come, and hands on each with its answer.
///
/// # Errors
/// A door that fails, or whatever `kept` fails with.
pub fn play(
    (plan, posts): (&Plan, &[Post]),
    clock: &mut dyn Clock,
    door: &mut dyn Door,
    kept: &mut dyn FnMut(&Post, Value) -> Result<bool, AdversaryError>,
) -> Result<Outcome, AdversaryError> {
    let mut outcome = Outcome::default();
    let (mut next, mut since_onset) = (0, 0);
    while let Some(first) = posts.get(next) {
        if clock.stopped() {
            outcome.cancelled = true;
            break;
        }
        let wait = first.at - clock.now();
        // less than a clock can tell is no wait
        if wait > 1e-6 {
            clock.rest(Duration::from_secs_f64(wait));
            continue;
        }
        let now = clock.now();
        let due = posts[next..].iter().take(AT_ONCE).take_while(|p| p.at <= now).count().max(1);
        let batch = &posts[next..next + due];
        next += due;
        let answers = door.send(batch)?;
        for (post, answer) in batch.iter().zip(answers) {
            let machine = usize::from(post.label == "machine");
            outcome.posted[machine] += 1;
            outcome.flagged[machine] += u64::from(answer["flagged"] == true);
            outcome.errors += u64::from(answer.get("error").is_some());
            outcome.late = outcome.late.max((now - post.at).max(0.));
            let reported = answer["streams"].as_array().is_some_and(|s| s.iter().any(|s| s["state"] == "flood"));
            if post.at < plan.onset {
                outcome.false_reports += u64::from(reported);
            } else {
                since_onset += 1;
                if reported && outcome.seen_after.is_none() {
                    outcome.seen_after = Some((since_onset, clock.now() - plan.onset));
                }
            }
            if !kept(post, answer)? {
                outcome.cancelled = true;
                return Ok(outcome);
            }
        }
    }
    Ok(outcome)
}

/// The posts of a flood on their way into an output.
pub struct Truth(Sink);

impl Truth {
    /// Opens the output.
    ///
    /// # Errors
    /// What is there may not be overwritten, or cannot be.
    pub fn open(output: &Output, posts: &[Post]) -> Result<Self, AdversaryError> {
        Ok(Self(Sink::open(output, &Map::new(), posts.len() as u64)?))
    }

    /// Writes a post; with what a service said of it, where that is an object.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&mut self, post: &Post, answer: &Value) -> Result<(), AdversaryError> {
        let said = ["verdict", "flagged", "score", "p_value", "machine_probability", "streams", "error"];
        let answer: Map<String, Value> = said.iter().filter_map(|&k| Some((k.to_owned(), answer.get(k)?.clone()))).collect();
        let row = Kept { post, answer: (!answer.is_empty()).then_some(answer) };
        self.0.put(0, &row, &post.text)
    }

    /// Gives the complete output its name.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn complete(self) -> Result<(), AdversaryError> {
        self.0.complete()
    }
}

/// A post and what was said of it.
#[derive(Serialize)]
struct Kept<'a> {
    #[serde(flatten)]
    post: &'a Post,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Map<String, Value>>,
}

/// Writes all posts at once.
///
/// # Errors
/// As [`Truth`].
pub fn save(posts: &[Post], output: &Output) -> Result<(), AdversaryError> {
    let mut truth = Truth::open(output, posts)?;
    posts.iter().try_for_each(|post| truth.put(post, &Value::Null))?;
    truth.complete()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Time that passes only by resting, and a little with every request.
    struct Fake(f64);

    impl Clock for std::rc::Rc<std::cell::RefCell<Fake>> {
        fn now(&self) -> f64 {
            self.borrow().0
        }

        fn rest(&mut self, time: Duration) {
            self.borrow_mut().0 += time.as_secs_f64();
        }
    }

    /// Flags machine posts, and reports a flood from its fifth machine post on.
    struct Judge(std::rc::Rc<std::cell::RefCell<Fake>>, Vec<usize>, u64);

    impl Door for Judge {
        fn send(&mut self, posts: &[Post]) -> Result<Vec<Value>, AdversaryError> {
            self.0.borrow_mut().0 += 0.3;
            self.1.push(posts.len());
            let answer = |post: &Post| {
                self.2 += u64::from(post.label == "machine");
                let state = if self.2 >= 5 { "flood" } else { "quiet" };
                serde_json::json!({"flagged": post.label == "machine", "streams": [{"key": post.stream, "state": state}]})
            };
            Ok(posts.iter().map(answer).collect())
        }
    }

    fn plan(s: &str) -> Plan {
        s.parse().unwrap()
    }

    fn texts() -> (Vec<Human>, Vec<Row>) {
        let human = |i: usize| Human { text: format!("human {i}"), pair: format!("h{i}"), id: None, domain: None };
        let row = |i: usize| Row {
            id: format!("m{i}"),
            text: format!("machine {i}"),
            label: "machine",
            source: "test",
            domain: None,
            generator: "fake".into(),
            decoding: "greedy".into(),
            attack: None,
            pair: None,
            prompt: String::new(),
            seed: 0,
            model: "fake@0".into(),
            meta: Value::Null,
        };
        ((0..50).map(human).collect(), (0..2000).map(row).collect())
    }

    #[test]
    fn a_plan_is_read_and_its_faults_are_told() {
        let full = plan("rate=90/m,share=0.4,onset=1m,duration=1h,stream=forum 7");
        assert_eq!(full, Plan { rate: 1.5, share: 0.4, onset: 60., duration: 3600., stream: "forum 7".into() });
        assert_eq!(plan("rate=20/s,share=1,onset=500ms").duration, 60.5);
        for (bad, part) in [
            ("rate=20/s,share=0.4", "`onset` is missing"),
            ("rate=0,share=0.4,onset=1", "no rate"),
            ("rate=20/d,share=0.4,onset=1", "no rate"),
            ("rate=20,share=40,onset=1", "from 0 to 1"),
            ("rate=20,share=0.4,onset=-1", "no time"),
            ("rate=20,share=0.4,onset=60s,duration=60s", "not seen"),
            ("rate=1000000,share=0.4,onset=60s", "more than the"),
            ("rate=20,speed=3", "`speed` is none of"),
            ("rate", "has no value"),
            ("rate=20,share=0.4,onset=1,stream=", "stream key"),
        ] {
            let told = bad.parse::<Plan>().unwrap_err();
            assert!(told.contains(part), "{bad}: {told}");
        }
    }

    #[test]
    fn arrivals_have_the_rate_and_the_share_and_repeat_with_the_seed() {
        let plan = plan("rate=20/s,share=0.4,onset=100s,duration=300s");
        let all = plan.arrivals(1);
        assert_eq!(all, plan.arrivals(1));
        assert_ne!(all, plan.arrivals(2));
        assert!((all.len() as f64 - 6000.).abs() < 5. * 6000f64.sqrt(), "{}", all.len());
        assert!(all.windows(2).all(|w| w[0].at <= w[1].at) && all.iter().all(|a| a.at < 300. && !(a.machine && a.at < 100.)));
        let after: Vec<_> = all.iter().filter(|a| a.at >= 100.).collect();
        let share = after.iter().filter(|a| a.machine).count() as f64 / after.len() as f64;
        assert!((share - 0.4).abs() < 0.04, "{share}");
    }

    #[test]
    fn every_human_text_comes_before_one_comes_again() {
        let (humans, machines) = texts();
        let start = "2026-01-01T00:00:00Z".parse().unwrap();
        let posts = posts(&plan("rate=10/s,share=0.5,onset=10s,duration=20s"), 3, start, (&humans, &machines));
        let ids: Vec<&str> = posts.iter().filter(|p| p.label == "human").map(|p| p.id.as_str()).collect();
        let mut first = ids[..50].to_vec();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 50);
        assert!(ids[50..].iter().take(50).all(|id| id.ends_with("#2")));
        let machine: Vec<&str> = posts.iter().filter(|p| p.label == "machine").map(|p| p.id.as_str()).collect();
        assert_eq!(machine[..3], ["m0", "m1", "m2"]);
        assert!(posts.iter().all(|p| (p.time.duration_since(start).as_secs_f64() - p.at).abs() < 1e-3));
    }

    #[test]
    fn posts_are_sent_when_they_are_due_and_the_answers_are_counted() {
        let (humans, machines) = texts();
        let plan = plan("rate=20/s,share=0.5,onset=5s,duration=15s");
        let posts = posts(&plan, 3, Timestamp::UNIX_EPOCH, (&humans, &machines));
        let time = std::rc::Rc::new(std::cell::RefCell::new(Fake(0.)));
        let mut door = Judge(time.clone(), Vec::new(), 0);
        let mut kept = 0;
        let mut keep = |_: &Post, _| {
            kept += 1;
            Ok(true)
        };
        let outcome = play((&plan, &posts), &mut time.clone(), &mut door, &mut keep).unwrap();
        let machine = posts.iter().filter(|p| p.label == "machine").count() as u64;
        assert_eq!((outcome.posted, outcome.flagged), ([posts.len() as u64 - machine, machine], [0, machine]));
        assert_eq!((kept, outcome.errors, outcome.false_reports), (posts.len(), 0, 0));
        // a request takes 0.3 s, in which about six posts come due
        assert!(outcome.late > 0. && outcome.late < 0.31 && door.1.iter().any(|&n| n > 1), "{outcome:?}");
        let (after, seconds) = outcome.seen_after.unwrap();
        assert!((5..40).contains(&after) && seconds > 0., "{outcome:?}");
        let stopped = play((&plan, &posts), &mut time.clone(), &mut door, &mut |_, _| Ok(false)).unwrap();
        assert!(stopped.cancelled && stopped.posted.iter().sum::<u64>() == 1);
    }
}
