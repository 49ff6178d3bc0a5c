namespace LongCat.ML;

/// <summary>What to do with a row whose text does not fit into the model's context.</summary>
public enum OverlongRow
{
    /// <summary>The row fails; <see cref="StepOptions.FailingRows"/> says what that means. The default: no text is lost in silence.</summary>
    Fail,

    /// <summary>The beginning of the text is cut off.</summary>
    TruncateLeft,

    /// <summary>The end of the text is cut off.</summary>
    TruncateRight,
}
