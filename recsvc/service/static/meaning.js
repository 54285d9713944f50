/** What the numbers of the page mean, for people who have read nothing else. */

export const SCORE = 'A score puts the items of one person in order, the highest first. It is the sum of the coloured '
  + 'parts, and each part is the sum of what single pieces of evidence add. It is not a probability or a rating, and '
  + 'scores of two people are not on one scale.';

/** @type {Object<string, string>} */
const MEANINGS = {
  ridge: 'People who have the same items have this one too. How much each item says about another is learned.',
  lightgcn: 'It lies close to the items of the evidence in vectors that are learned from who has what.',
  node2vec: 'It lies close to the items of the evidence in vectors that are learned from random walks through the graph.',
  pagerank: 'A random walk through the graph that starts at the items of the evidence often comes to it.',
  item_user_item: 'People who have one of the items of the evidence have this one too.',
  item_category_item: 'It is in a category of the items of the evidence.',
  followed_user_item: 'People who are followed have it.',
  category_item: 'It is in a preferred category.',
  transitions: 'People often went on to it from what was done lately. What was done last counts most.',
  base: 'It is popular with everybody. No piece of evidence adds this part.',
  diversity: 'It is like the items above it, so it comes later. This part is there only where the list is asked to be diverse.',
  rule: 'Rules of a scenario raise or lower it.',
  exploration: 'It was drawn for this place, to find out more about it.',
  fatigue: 'It was shown lately, and nothing was done with it.',
  fairness: 'A group of items has a least share of the first places. This lets it come earlier.',
};

/** Parts of a score that are no signals: they do not answer alone. */
export const NO_SIGNALS = ['base', 'diversity', 'rule', 'fatigue', 'fairness', 'exploration'];

/** What a part of a score means, in a sentence. @param {string} signal */
export const meaningOf = (signal) => MEANINGS[signal] ?? 'A model or a meta-path that this service was given.';
