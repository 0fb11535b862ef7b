//! An explained text as one self-contained web page: nothing is loaded, nothing runs, and the text cannot break out of its place.

use super::{Explained, spans::Bucket};
use crate::report::escape;
use std::fmt::{self, Write};

const STYLE: &str = ":root{color-scheme:light dark}\
body{font:1rem/1.6 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;background:light-dark(#fff,#16181c);color:light-dark(#1a1a1a,#e8e8e8)}\
.text{white-space:pre-wrap;overflow-wrap:anywhere;padding:1rem;border:1px solid light-dark(#ccc,#444);border-radius:.4rem}\
.r1{background:light-dark(#d7f0d7,#173d1c)}.r2{background:light-dark(#fdf0b5,#4a3f0a)}\
.r3{background:light-dark(#fbd0c8,#5a211a);text-decoration:underline}.r4{background:light-dark(#e5cff5,#45215f);text-decoration:underline;font-weight:600}\
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}\
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.verdict{font-size:1.15rem;font-weight:600}";

/// The page.
pub(super) fn render(explained: &Explained<'_>, title: &str) -> Result<String, fmt::Error> {
    let title = escape(title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title} - Highwater</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<p class=\"verdict\">{}</p>\n",
        escape(&explained.verdict)
    );
    write_legend(&mut out, explained)?;
    out.push_str("<div class=\"text\" dir=\"auto\">");
    for span in &explained.spans {
        let text = escape(span.text);
        match span.score {
            None => out.push_str(&text),
            Some(s) => write!(
                out,
                "<span class=\"r{}\" title=\"rank {}, surprisal {:.2} nats, entropy {:.2} nats\">{text}</span>",
                class(Bucket::of(s.rank)),
                s.rank,
                s.surprisal,
                s.entropy
            )?,
        }
    }
    out.push_str("</div>\n<table>\n");
    for fact in &explained.facts {
        writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td>{}</td></tr>",
            fact.name,
            escape(&fact.value),
            escape(fact.meaning)
        )?;
    }
    out.push_str("</table>\n</body>\n</html>\n");
    Ok(out)
}

fn write_legend(out: &mut String, explained: &Explained<'_>) -> fmt::Result {
    out.push_str("<p>Rank of each token among the model's guesses; point at a token to see its numbers.</p>\n<table>\n");
    for (bucket, (count, share)) in Bucket::ALL.into_iter().zip(explained.counts()) {
        let (class, ranks) = (class(bucket), bucket.ranks());
        writeln!(
            out,
            "<tr><td><span class=\"r{class}\">rank {ranks}</span></td><td class=\"n\">{count}</td><td class=\"n\">{:.1}%</td></tr>",
            100. * share
        )?;
    }
    out.write_str("</table>\n")
}

fn class(bucket: Bucket) -> u8 {
    match bucket {
        Bucket::Top10 => 1,
        Bucket::Top100 => 2,
        Bucket::Top1000 => 3,
        Bucket::Rest => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::explain::tests::explained;

    #[test]
    fn a_page_carries_every_token_and_no_markup_of_the_text() {
        let page = render(&explained("<script>a</script> & \"b\"", &[(0, 8, 1), (9, 18, 2000)]), "<title>").unwrap();
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;") && page.contains("<h1>&lt;title&gt;</h1>"), "{page}");
        assert!(page.contains("<span class=\"r4\" title=\"rank 2000, surprisal 1.00 nats, entropy 2.00 nats\">"), "{page}");
        assert!(page.contains("&quot;b&quot;"), "{page}");
    }

    #[test]
    fn a_page_loads_nothing() {
        let page = render(&explained("a", &[]), "t").unwrap();
        assert!(!page.contains("src=") && !page.contains("href=") && !page.contains("url("), "{page}");
    }
}
