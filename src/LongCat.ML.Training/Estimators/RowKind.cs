namespace LongCat.ML.Training.Estimators;

/// <summary>What a row of training data is.</summary>
internal enum RowKind
{
    /// <summary>A text, all of which is learned.</summary>
    Text,

    /// <summary>A prompt and what is to be written behind it.</summary>
    PromptCompletion,

    /// <summary>A chat, whose assistant's messages are learned.</summary>
    Chat,

    /// <summary>A text and its label.</summary>
    Label,
}
