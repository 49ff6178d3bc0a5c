namespace LongCat.ML.Calibration;

/// <summary>A row of calibration data: its text, or why it has none.</summary>
/// <param name="Text">The text; null or empty where there is none.</param>
/// <param name="Problem">What is wrong with the row and where it is; null where only the text is missing.</param>
internal readonly record struct CalibrationRow(string? Text, string? Problem);
