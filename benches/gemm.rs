//! This machine's matrix-product peak through ONNX Runtime, on one thread and on all: what a scorer can reach at most.

use highwater::model::gemm_peak;
use std::{num::NonZero, thread, time::Duration};

#[allow(clippy::unwrap_used, clippy::print_stdout)]
fn main() {
    let all = thread::available_parallelism().map_or(1, NonZero::get);
    for (name, int8) in [("fp32", false), ("int8", true)] {
        for threads in [1, all] {
            let mut rates: Vec<f64> = (0..5).map(|_| gemm_peak(int8, threads, Duration::from_secs(1)).unwrap() / 1e9).collect();
            rates.sort_by(f64::total_cmp);
            println!("{name}, {threads} threads: {:.0} GFLOP/s (median of 5; {:.0} to {:.0})", rates[2], rates[0], rates[4]);
        }
    }
}
