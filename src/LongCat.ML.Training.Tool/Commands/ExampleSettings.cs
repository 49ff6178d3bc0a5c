using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary>What a row holds, and what happens to rows that do not fit.</summary>
internal sealed record ExampleSettings(ExampleColumns Columns, bool LossOnPrompt, OverlongExamples Overlong, BadRows BadRows);
