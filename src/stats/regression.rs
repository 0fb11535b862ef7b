//! Weighted least squares and ridge logistic regression for a few dozen columns, by normal equations and Cholesky.
//!
//! The first column is taken as the intercept and never penalised. Deterministic; no randomness.

/// A pivot that shrinks below this share of its start is rounding error: the columns depend on each other.
const SINGULAR: f64 = 1e-13;
const MAX_STEPS: usize = 100;
const MAX_HALVINGS: usize = 40;

/// A design matrix: `values` holds rows of `width` numbers one after another, `weights` one non-negative number per row.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Row-major numbers.
    pub values: &'a [f64],
    /// Numbers in a row, at least 1.
    pub width: usize,
    /// How much each row counts.
    pub weights: &'a [f64],
}

impl<'a> Rows<'a> {
    fn iter(&self) -> impl Iterator<Item = (&'a [f64], f64)> {
        self.values.chunks_exact(self.width.max(1)).zip(self.weights.iter().copied())
    }
}

/// Coefficients b that minimise sum w (y - x b)^2 + `ridge` |b|^2 (without the intercept). `None` where the system cannot be solved.
pub fn least_squares(rows: Rows<'_>, targets: &[f64], ridge: f64) -> Option<Vec<f64>> {
    let mut gram = penalty(rows.width, ridge);
    let mut right = vec![0.; rows.width];
    for ((x, w), y) in rows.iter().zip(targets) {
        add_outer(&mut gram, x, w);
        x.iter().zip(&mut right).for_each(|(x, r)| *r += w * x * y);
    }
    solve(gram, right)
}

/// Coefficients b that minimise sum w (ln(1 + e^(x b)) - y x b) / sum w + `ridge` / 2 |b|^2 (without the intercept), y in {0, 1}:
/// logistic regression by Newton's method with step halving (iteratively reweighted least squares; Hastie, Tibshirani & Friedman,
/// *The Elements of Statistical Learning*, 4.4.1). `None` where the weights add up to nothing or the system cannot be solved.
pub fn logistic(rows: Rows<'_>, labels: &[bool], ridge: f64) -> Option<Vec<f64>> {
    let total: f64 = rows.weights.iter().sum();
    if !(total > 0. && total.is_finite()) {
        return None;
    }
    let objective = |b: &[f64]| {
        let loss = rows.iter().zip(labels).map(|((x, w), &y)| w * softplus(if y { -dot(x, b) } else { dot(x, b) })).sum::<f64>();
        loss / total + ridge / 2. * b.iter().skip(1).map(|b| b * b).sum::<f64>()
    };
    let mut b = vec![0.; rows.width];
    let mut value = objective(&b);
    for _ in 0..MAX_STEPS {
        let step = newton_step(rows, labels, ridge * total, &b)?;
        let moved = |size: f64| b.iter().zip(&step).map(|(b, s)| b - size * s).collect::<Vec<_>>();
        let tried = (0..MAX_HALVINGS).map(|half| moved(0.5f64.powi(half as i32))).map(|to| (objective(&to), to));
        let Some((next, to)) = { tried }.find(|(next, _)| *next <= value) else { break };
        let settled = value - next <= 1e-13 * value.abs();
        (b, value) = (to, next);
        if settled {
            break;
        }
    }
    b.iter().all(|b| b.is_finite()).then_some(b)
}

fn newton_step(rows: Rows<'_>, labels: &[bool], ridge: f64, b: &[f64]) -> Option<Vec<f64>> {
    let mut hessian = penalty(rows.width, ridge);
    let mut gradient: Vec<f64> = b.iter().enumerate().map(|(j, b)| if j == 0 { 0. } else { ridge * b }).collect();
    for ((x, w), &y) in rows.iter().zip(labels) {
        let p = 1. / (1. + (-dot(x, b)).exp());
        add_outer(&mut hessian, x, w * p * (1. - p));
        let miss = w * (p - f64::from(u8::from(y)));
        x.iter().zip(&mut gradient).for_each(|(x, g)| *g += miss * x);
    }
    solve(hessian, gradient)
}

/// ln(1 + e^x) without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.) + (-x.abs()).exp().ln_1p()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A square matrix with `ridge` on the diagonal except for the intercept, as the start of a sum.
fn penalty(width: usize, ridge: f64) -> Vec<f64> {
    let diagonal = |i: usize| if i.is_multiple_of(width + 1) && i > 0 { ridge } else { 0. };
    (0..width * width).map(diagonal).collect()
}

/// Adds w x xᵀ to the lower triangle.
fn add_outer(matrix: &mut [f64], x: &[f64], w: f64) {
    for (i, row) in matrix.chunks_exact_mut(x.len()).enumerate() {
        let scaled = w * x[i];
        row[..=i].iter_mut().zip(x).for_each(|(m, x)| *m += scaled * x);
    }
}

/// Solves A x = b for a symmetric positive definite A of which the lower triangle is given, by Cholesky's A = L Lᵀ.
fn solve(mut a: Vec<f64>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    for i in 0..n {
        for j in 0..=i {
            let given = a[i * n + j];
            let sum = given - (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum::<f64>();
            if i != j {
                a[i * n + j] = sum / a[j * n + j];
            } else if sum > SINGULAR * given && sum.is_finite() {
                a[i * n + i] = sum.sqrt();
            } else {
                return None;
            }
        }
    }
    for i in 0..n {
        b[i] = (b[i] - (0..i).map(|k| a[i * n + k] * b[k]).sum::<f64>()) / a[i * n + i];
    }
    for i in (0..n).rev() {
        b[i] = (b[i] - (i + 1..n).map(|k| a[k * n + i] * b[k]).sum::<f64>()) / a[i * n + i];
    }
    Some(b)
}
