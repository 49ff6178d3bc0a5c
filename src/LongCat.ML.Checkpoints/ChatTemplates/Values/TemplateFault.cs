namespace LongCat.ML.Checkpoints;

/// <summary>What went wrong while a template runs, before the line is known; the innermost expression or statement adds it.</summary>
internal sealed class TemplateFault(string message) : Exception(message);
