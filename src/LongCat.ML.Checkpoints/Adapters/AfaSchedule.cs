namespace LongCat.ML.Checkpoints;

/// <summary>How β of AFA-LoRA falls to 0 between the start and the end of the annealing.</summary>
public enum AfaSchedule
{
    /// <summary>In proportion to the steps.</summary>
    Linear,

    /// <summary>Along half a period of a cosine.</summary>
    Cosine,

    /// <summary>Exponentially, shifted so that it ends at exactly 0.</summary>
    Exponential,

    /// <summary>In equal stairs.</summary>
    Step,
}
