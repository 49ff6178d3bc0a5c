using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>Turns one checkpoint into graphs. A family of models is one subclass with an <see cref="EmitterFamilyAttribute"/>.</summary>
internal abstract class ModelEmitter
{
    /// <summary>Whether the model has a draft head that this emitter can write.</summary>
    /// <exception cref="CheckpointException">It has one of a kind that this emitter cannot write.</exception>
    public abstract bool HasDraft(Checkpoint checkpoint);

    /// <summary>Builds the graphs; every tensor they use is added to the emission's data, nothing is written yet.</summary>
    public abstract EmittedModel Emit(Emission emission);
}
