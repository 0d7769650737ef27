// The aggregations of a bag of scores, as lsegrepro.network.model computes them.

// Mean, tempered LSE with 1/N, LSE (r = 1, without) and maximum, and the derivative of the tempered
// one by each score. About the largest score, and in expm1 and log1p, so that every r keeps its digits.
function aggregate(scores, r) {
  const n = scores.length,
    top = Math.max(...scores),
    sum = values => values.reduce((a, b) => a + b, 0);
  const powers = scores.map(s => Math.exp((s - top) * r)),
    total = sum(powers);
  return {
    mean: sum(scores) / n,
    tempered: top + Math.log1p(sum(scores.map(s => Math.expm1((s - top) * r))) / n) / r,
    lse: top + Math.log(sum(scores.map(s => Math.exp(s - top)))),
    max: top,
    weights: powers.map(p => p / total),
    winner: scores.indexOf(top),
  };
}
