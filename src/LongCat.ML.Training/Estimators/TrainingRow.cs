using LongCat.ML.Checkpoints;

namespace LongCat.ML.Training.Estimators;

/// <summary>A row as it was read.</summary>
/// <param name="First">The text or prompt.</param>
/// <param name="Second">The completion or label.</param>
/// <param name="Messages">The messages of a chat.</param>
/// <param name="Problem">Why it cannot be used, null where it can.</param>
/// <param name="IsMalformed">Whether the problem is more than that there is nothing to learn.</param>
internal readonly record struct TrainingRow(string First, string Second, IReadOnlyList<ChatMessage> Messages, string? Problem, bool IsMalformed = false);
