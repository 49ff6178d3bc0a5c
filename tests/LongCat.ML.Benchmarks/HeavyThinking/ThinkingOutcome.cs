namespace LongCat.ML.Benchmarks.HeavyThinking;

/// <summary>A way of answering over the test questions of a seed.</summary>
/// <param name="Way">Its name.</param>
/// <param name="Calls">Calls of the model a question takes.</param>
/// <param name="Right">Whether each question was answered right.</param>
/// <param name="Written">Tokens that the model wrote, over all questions.</param>
/// <param name="Read">Tokens of prompts.</param>
internal sealed record ThinkingOutcome(string Way, int Calls, IReadOnlyList<bool> Right, long Written, long Read);

/// <summary>The pages of the cache that one reply of so many trajectories takes.</summary>
/// <param name="Width">Trajectories.</param>
/// <param name="PromptTokens">Tokens of the prompt that they have in common.</param>
/// <param name="PageTokens">Tokens of a page.</param>
/// <param name="Shared">The most pages in use with heavy thinking.</param>
/// <param name="Apart">The most pages in use when the same trajectories have prompts that differ from their first tokens on.</param>
/// <param name="SharedComputed">Prompt tokens that were computed with heavy thinking, the summary's included.</param>
/// <param name="ApartComputed">Prompt tokens that were computed otherwise.</param>
internal sealed record SharedPages(int Width, int PromptTokens, int PageTokens, int Shared, int Apart, long SharedComputed, long ApartComputed);

/// <summary>What a seed's process found.</summary>
/// <param name="Seed">The seed.</param>
/// <param name="AnswerLoss">Mean loss of the last tenth of the first steps.</param>
/// <param name="SummaryLoss">The same of the others.</param>
/// <param name="CandidatesRight">The share of the candidates that summaries were learned from that were right.</param>
/// <param name="TrainingSeconds">Time of training.</param>
/// <param name="TestSeconds">Time of the test.</param>
/// <param name="Unanswered">How often heavy thinking came to no answer at all.</param>
/// <param name="Outcomes">The ways.</param>
/// <param name="Pages">What the trajectories share; null for all seeds but the first.</param>
internal sealed record ThinkingAnswer(
    int Seed, double AnswerLoss, double SummaryLoss, double CandidatesRight, double TrainingSeconds, double TestSeconds, int Unanswered, IReadOnlyList<ThinkingOutcome> Outcomes, IReadOnlyList<SharedPages> Pages);
