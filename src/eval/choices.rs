//! Multiple choice: which candidate the model holds for the most likely answer.
//!
//! A candidate's score is the log-likelihood of its tokens after the question, summed, as in lm-evaluation-harness; the second one divides
//! it by the candidate's bytes, so that long candidates are not at a disadvantage. Every candidate is a row of its own, and many
//! rows go through the model at once.

use super::interval::Share;
use super::{Model, Options, likelihood};
use crate::data::{Chatting, ChoiceRow, Dataset, Sample, Tokenizer, read_choices};
use crate::error::{Error, Result};
use crate::model::Source;
use crate::train::Event;
use std::path::PathBuf;

/// A question's candidates, scored.
#[derive(Clone, Debug, PartialEq)]
pub struct ChoiceScore {
    /// The log-likelihood of each candidate's tokens, in nats.
    pub log_likelihoods: Vec<f64>,
    /// The UTF-8 bytes of each candidate's text.
    pub bytes: Vec<usize>,
    /// The right candidate's index.
    pub right: usize,
}

impl ChoiceScore {
    /// The candidate with the highest log-likelihood; of equal ones the first.
    pub fn chosen(&self) -> usize {
        highest(self.log_likelihoods.iter().copied())
    }

    /// The candidate with the highest log-likelihood for a byte of its text; of equal ones the first.
    pub fn chosen_by_byte(&self) -> usize {
        highest(self.log_likelihoods.iter().zip(&self.bytes).map(|(score, bytes)| score / *bytes as f64))
    }
}

/// The scores of all questions, in the order of the files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choices {
    /// One for each question.
    pub rows: Vec<ChoiceScore>,
}

impl Choices {
    /// How often the most likely candidate is right.
    pub fn accuracy(&self) -> Share {
        Share::count(self.rows.iter().map(|row| row.chosen() == row.right))
    }

    /// How often the candidate that is most likely for a byte is right.
    pub fn accuracy_by_byte(&self) -> Share {
        Share::count(self.rows.iter().map(|row| row.chosen_by_byte() == row.right))
    }

    /// The accuracy of guessing, 0 to 1.
    pub fn chance(&self) -> f64 {
        self.rows.iter().map(|row| 1.0 / row.log_likelihoods.len() as f64).sum::<f64>() / self.rows.len().max(1) as f64
    }

    /// Candidates of all questions.
    pub fn candidates(&self) -> u64 {
        self.rows.iter().map(|row| row.log_likelihoods.len() as u64).sum()
    }
}

fn highest(scores: impl Iterator<Item = f64>) -> usize {
    scores.enumerate().fold((0, f64::NEG_INFINITY), |best, (i, score)| if score > best.1 { (i, score) } else { best }).0
}

/// Scores every candidate of every question.
pub(super) async fn score(
    model: &Model<'_>,
    tokenizer: &Tokenizer,
    chat: &Chatting,
    files: &[PathBuf],
    options: &Options,
    events: &mut dyn FnMut(Event),
) -> Result<Choices> {
    let mut data = Dataset { samples: Vec::new() };
    let mut rows = Vec::new();
    let mut cut = 0;
    for file in files {
        let questions = read_choices(file, &options.reading)?;
        let lead = questions.first().map(|q| q.lead.as_str()).filter(|lead| !lead.is_empty());
        let lead = lead.map(|lead| format!("; each answer begins with {lead:?}")).unwrap_or_default();
        events(Event::note(format!("{}: multiple choice, {} rows{lead}", file.display(), questions.len())));
        for question in questions {
            let place = format!("{}:{}", file.display(), question.line);
            let (samples, was_cut) = samples(&question, model.source, tokenizer, chat, options, rows.len(), &place)?;
            cut += usize::from(was_cut);
            data.samples.extend(samples);
            let bytes = question.candidates.iter().map(String::len).collect();
            rows.push(ChoiceScore { log_likelihoods: Vec::new(), bytes, right: question.right });
        }
    }
    if cut > 0 {
        let what = format!("{cut} of {} questions are longer than {} tokens and lost their beginning", rows.len(), options.seq_len);
        events(Event::warning(what));
    }
    let (_, losses) = likelihood::losses(model, &data, options.batch_size, options.seq_len, "scoring candidates", events).await?;
    if losses.iter().any(|loss| !loss.sum.is_finite()) {
        let hint = "the model or the adapter holds values that are not finite, or the device computes wrongly: try diablo check";
        return Err(Error::input(model.source.folder.display().to_string(), "a candidate's likelihood is not a number", hint));
    }
    for (sample, loss) in data.samples.iter().zip(losses) {
        rows[sample.row].log_likelihoods.push(-loss.sum);
    }
    Ok(Choices { rows })
}

/// A sample for each candidate: the question, what leads to the answer, and the candidate, whose tokens are the targets. Where the longest
/// does not fit, all of them lose the same tokens of the question's beginning; whether that is so.
fn samples(
    question: &ChoiceRow,
    source: &Source,
    tokenizer: &Tokenizer,
    chat: &Chatting,
    options: &Options,
    row: usize,
    place: &str,
) -> Result<(Vec<Sample>, bool)> {
    let (prompt, _) = chat.questions(&question.asked, tokenizer)?.pop().ok_or_else(|| Error::input(place, "the row asks nothing", ""))?;
    let mut prompt = [options.begin_ids(source, tokenizer, chat, &question.asked)?, prompt].concat();
    // A template ends where the answer begins; other questions mostly end in a word.
    let apart = !chat.writes(&question.asked) && !question.ends_in_blank() && !tokenizer.puts_blank()?;
    let lead = format!("{}{}", if apart { " " } else { "" }, question.lead);
    // The blank between lead and candidate is the candidate's: most tokenizers make it a part of its first token.
    let before = tokenizer.encode(lead.trim_end())?;
    let answers: Vec<Vec<u32>> =
        question.candidates.iter().map(|text| tokenizer.encode(&format!("{lead}{text}"))).collect::<Result<_>>()?;
    // Tokens of the lead that every candidate leaves as they are; its end may melt into a candidate's beginning.
    let same = |ids: &Vec<u32>| before.iter().zip(ids).take_while(|(a, b)| a == b).count().min(ids.len().saturating_sub(1));
    let led = answers.iter().map(same).min().unwrap_or(0);
    let longest = answers.iter().map(Vec::len).max().unwrap_or(0);
    let room = options.seq_len.saturating_sub(longest);
    if room == 0 || prompt.is_empty() {
        let what = format!("a candidate of {longest} tokens leaves no room for the question in {} tokens", options.seq_len);
        return Err(Error::input(place, what, "make --seq-len larger"));
    }
    let cut = prompt.len() > room;
    prompt.drain(..prompt.len().saturating_sub(room));
    let sample =
        |ids: &Vec<u32>| Sample { ids: [&prompt[..], ids].concat(), learn_from: (prompt.len() + led) as u32, row, ..Sample::default() };
    Ok((answers.iter().map(sample).collect(), cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choosing_by_sum_and_by_byte() {
        let row = |scores: &[f64], bytes: &[usize], right| ChoiceScore { log_likelihoods: scores.to_vec(), bytes: bytes.to_vec(), right };
        let choices = Choices { rows: vec![row(&[-2.0, -3.0], &[1, 3], 1), row(&[-1.0, -1.0, -5.0, -6.0], &[2; 4], 0)] };
        assert_eq!(choices.rows.iter().map(|r| (r.chosen(), r.chosen_by_byte())).collect::<Vec<_>>(), [(0, 1), (0, 0)]);
        assert_eq!((choices.accuracy().right, choices.accuracy_by_byte().right, choices.candidates()), (1, 2, 6));
        assert_eq!(choices.chance(), 0.375);
    }
}
