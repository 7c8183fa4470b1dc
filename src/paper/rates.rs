//! Which learning rate to try next: a walk over the rates that are powers of two away from a usual one.

use std::collections::BTreeMap;

/// Rates of one method, at most. A loss that falls and falls with the rate is then said to be at the edge.
pub const MOST: usize = 14;
/// The first three lie so many powers of two apart, and so do those beyond their ends.
const COARSE: i32 = 2;

/// Held-out losses by rate: `2^k` times the usual rate has the key `k`. Infinite where the loss stopped being a number.
pub type Tried = BTreeMap<i32, f64>;

/// The rate to try next. None once half and twice the best rate were tried and are no better, or where there were [`MOST`].
///
/// A quarter of the usual rate, the rate, and four times it come first; while the best is the first or the last, a rate four times beyond
/// it; then half and twice the best.
pub fn next(tried: &Tried) -> Option<i32> {
    if let Some(first) = [0, -COARSE, COARSE].into_iter().find(|k| !tried.contains_key(k)) {
        return Some(first);
    }
    if tried.len() >= MOST {
        return None;
    }
    let (lowest, highest) = (*tried.keys().next()?, *tried.keys().next_back()?);
    match best(tried) {
        None => Some(lowest - COARSE),
        Some(k) if k == lowest => Some(k - COARSE),
        Some(k) if k == highest => Some(k + COARSE),
        Some(k) => [k - 1, k + 1].into_iter().find(|k| !tried.contains_key(k)),
    }
}

/// The rate with the lowest loss; of equal ones the smallest.
pub fn best(tried: &Tried) -> Option<i32> {
    tried.iter().filter(|(_, loss)| loss.is_finite()).min_by(|a, b| a.1.total_cmp(b.1)).map(|(k, _)| *k)
}

/// Whether half and twice the best rate were tried.
pub fn settled(tried: &Tried) -> bool {
    best(tried).is_some_and(|k| tried.contains_key(&(k - 1)) && tried.contains_key(&(k + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(loss: impl Fn(i32) -> f64) -> (Vec<i32>, Tried) {
        let (mut order, mut tried) = (Vec::new(), Tried::new());
        while let Some(k) = next(&tried) {
            assert!(tried.insert(k, loss(k)).is_none(), "{k} is tried twice");
            order.push(k);
        }
        (order, tried)
    }

    #[test]
    fn the_best_rate_has_worse_ones_on_both_sides() {
        assert_eq!(walk(|k| f64::from(k * k)).0, [0, -2, 2, -1, 1]);
        assert_eq!(walk(|k| f64::from((k - 2).pow(2))).0, [0, -2, 2, 4, 1, 3]);
        for aim in -12..12 {
            let (order, tried) = walk(|k| f64::from((k - aim).abs()));
            assert!(settled(&tried) && best(&tried) == Some(aim), "{aim}: {order:?}");
            assert!(order.len() <= 11, "{aim}: {order:?}");
        }
        // Rates from some size on give no numbers.
        let (order, tried) = walk(|k| if k > 3 { f64::INFINITY } else { -f64::from(k) });
        assert!(settled(&tried) && best(&tried) == Some(3), "{order:?}");
    }

    #[test]
    fn a_walk_without_an_end_is_given_up() {
        let (order, tried) = walk(|k| -f64::from(k));
        assert!(order.len() == MOST && !settled(&tried), "{order:?}");
        let (order, tried) = walk(|_| f64::NAN);
        assert!(order.len() == MOST && best(&tried).is_none() && !settled(&tried), "{order:?}");
    }
}
