//! Decoding through ONNX operators alone, as on CUDA: the graph takes all keys and values and gives them back with the new ones.
//!
//! Rows of the past have columns that their sequence does not use; what stands where is kept here, so that a sequence may begin, stop and
//! be copied at any time. Past a limit of columns all sequences are read again from their tokens.

use crate::model::{
    Step,
    config::Gpt2Config,
    graph::{self, Flavour},
    scorer::Choice,
};
use half::f16;
use ort::{
    memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType},
    session::Session,
    value::{DynValue, Tensor},
};

/// Where no key stands: after every query.
const NOWHERE: i64 = i64::MAX;

/// The state of the plain graph.
pub(super) struct Plain {
    session: Session,
    /// Keys and values of each layer, (rows, heads, columns, width of a head).
    past: Vec<DynValue>,
    /// Columns of the past.
    columns: usize,
    sequences: Vec<Sequence>,
    config: Gpt2Config,
    half: bool,
    memory: MemoryInfo<'static>,
}

/// A sequence and where it lies.
#[derive(Clone, Default)]
struct Sequence {
    tokens: Vec<u32>,
    /// Its row of the past, and the position of the key in each column; `None` where it has to be read from its tokens.
    place: Option<(usize, Vec<i64>)>,
}

impl Plain {
    pub(super) fn new(session: Session, config: &Gpt2Config, choice: &Choice) -> ort::Result<Self> {
        let (device, id) = choice.cuda.map_or((AllocationDevice::CPU, 0), |n| (AllocationDevice::CUDA, n as i32));
        let memory = MemoryInfo::new(device, id, AllocatorType::Device, MemoryType::Default)?;
        let half = choice.flavour == Flavour::Half;
        Ok(Self { session, past: Vec::new(), columns: 0, sequences: Vec::new(), config: config.clone(), half, memory })
    }

    pub(super) fn forget(&mut self, sequence: usize) {
        if let Some(sequence) = self.sequences.get_mut(sequence) {
            *sequence = Sequence::default();
        }
    }

    /// Empties every sequence.
    pub(super) fn clear(&mut self) {
        self.sequences.clear();
        // without a past the next run starts anew
        self.past.clear();
    }

    pub(super) fn copy(&mut self, moves: &[(usize, usize)]) {
        let copies: Vec<_> = moves.iter().map(|&(from, _)| self.sequences.get(from).cloned().unwrap_or_default()).collect();
        for (&(_, to), copy) in moves.iter().zip(copies) {
            *self.sequence(to) = copy;
        }
    }

    fn sequence(&mut self, number: usize) -> &mut Sequence {
        if self.sequences.len() <= number {
            self.sequences.resize(number + 1, Sequence::default());
        }
        &mut self.sequences[number]
    }

    /// As [`super::Generator::extend`]; after a failure every sequence is empty.
    pub(super) fn extend(&mut self, steps: &[Step<'_>], logits: &mut Vec<f32>) -> ort::Result<()> {
        let ran = self.advance(steps, logits);
        if ran.is_err() {
            // sequences and columns already count what the past does not hold
            self.clear();
        }
        ran
    }

    fn advance(&mut self, steps: &[Step<'_>], logits: &mut Vec<f32>) -> ort::Result<()> {
        let mut new = vec![Vec::new(); self.sequences.len()];
        for step in steps {
            self.sequence(step.sequence).tokens.extend_from_slice(step.tokens);
            new.resize(self.sequences.len().max(new.len()), Vec::new());
            new[step.sequence] = step.tokens.to_vec();
        }
        let longest = new.iter().map(Vec::len).max().unwrap_or(0);
        if self.past.is_empty() || self.columns + longest > 2 * self.config.context {
            self.start_anew()?;
        }
        let live: Vec<usize> = (0..self.sequences.len()).filter(|&s| !self.sequences[s].tokens.is_empty()).collect();
        let pending: Vec<Vec<u32>> = live
            .iter()
            .map(|&s| if self.sequences[s].place.is_none() { self.sequences[s].tokens.clone() } else { std::mem::take(&mut new[s]) })
            .collect();
        let found = self.run(&live, &pending)?;
        let vocabulary = self.config.vocabulary;
        for step in steps {
            let row = live.iter().position(|&s| s == step.sequence).unwrap_or_default();
            logits.extend_from_slice(&found[row * vocabulary..][..vocabulary]);
        }
        Ok(())
    }

    /// A past of one column that nobody sees: a tensor without elements is not taken.
    fn start_anew(&mut self) -> ort::Result<()> {
        let (heads, width) = (self.config.heads, self.config.width / self.config.heads);
        let empty = || -> ort::Result<DynValue> {
            let shape = [1, heads, 1, width];
            Ok(if self.half {
                Tensor::from_array((shape, vec![f16::ZERO; heads * width]))?.into_dyn()
            } else {
                Tensor::from_array((shape, vec![0f32; heads * width]))?.into_dyn()
            })
        };
        self.past = (0..2 * self.config.layers).map(|_| empty()).collect::<ort::Result<_>>()?;
        self.columns = 1;
        self.sequences.iter_mut().for_each(|s| s.place = None);
        Ok(())
    }

    /// Runs the live sequences with what each one has to read, which may be nothing; gives their logits, row by row.
    fn run(&mut self, live: &[usize], pending: &[Vec<u32>]) -> ort::Result<Vec<f32>> {
        let n = pending.iter().map(Vec::len).max().unwrap_or(0);
        let (mut ids, mut positions, mut queries, mut keys) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut parents, mut rows) = (Vec::new(), Vec::new());
        for (row, (&number, new)) in live.iter().zip(pending).enumerate() {
            let sequence = &mut self.sequences[number];
            let (parent, mut columns) = sequence.place.take().unwrap_or_else(|| (0, vec![NOWHERE; self.columns]));
            let first = sequence.tokens.len() - new.len();
            for i in 0..n {
                let at = if i < new.len() { (first + i) as i64 } else { NOWHERE };
                ids.push(new.get(i).map_or(0, |&id| i64::from(id)));
                positions.push(if at == NOWHERE { 0 } else { at });
                // a filler sees what its sequence has, so that its numbers are finite
                queries.push(if at == NOWHERE { NOWHERE - 1 } else { at });
                columns.push(at);
            }
            parents.push(parent as i64);
            rows.push((row * n + new.len().max(1) - 1) as i64);
            keys.extend_from_slice(&columns);
            sequence.place = Some((row, columns));
        }
        self.columns += n;
        let (b, t) = (live.len(), self.columns);
        let mut binding = self.session.create_binding()?;
        binding.bind_input("input_ids", &Tensor::from_array(([b, n], ids))?)?;
        binding.bind_input("positions", &Tensor::from_array(([b, n], positions))?)?;
        binding.bind_input("queries_at", &Tensor::from_array(([b, n], queries))?)?;
        binding.bind_input("keys_at", &Tensor::from_array(([b, t], keys))?)?;
        binding.bind_input("parents", &Tensor::from_array(([b], parents))?)?;
        binding.bind_input("rows", &Tensor::from_array(([b], rows))?)?;
        let host = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::CPUOutput)?;
        binding.bind_output_to_device("logits", &host)?;
        let parts = (0..self.config.layers).flat_map(|layer| [('k', layer), ('v', layer)]);
        let names: Vec<_> = parts.map(|(part, layer)| (graph::past_name(part, layer), graph::present_name(part, layer))).collect();
        for ((past, present), value) in names.iter().zip(&self.past) {
            binding.bind_input(past.as_str(), value)?;
            binding.bind_output_to_device(present.as_str(), &self.memory)?;
        }
        let mut outputs = self.session.run_binding(&binding)?;
        let missing = || ort::Error::new("the graph gave no keys or values");
        self.past = names.iter().map(|(_, present)| outputs.remove(present).ok_or_else(missing)).collect::<ort::Result<_>>()?;
        Ok(outputs["logits"].try_extract_tensor::<f32>()?.1.to_vec())
    }
}
