using LongCat.ML.Modules;
using LongCat.ML.Training.Optimization;
using TorchSharp.Modules;

namespace LongCat.ML.Training.FineTuning;

/// <summary>What a fine-tuning changes: an adapter, or the model's own weights.</summary>
internal abstract class TunedWeights : IDisposable
{
    /// <summary>Names and parameters in a fixed order.</summary>
    public abstract IReadOnlyList<(string Name, Parameter Value)> Parameters { get; }

    /// <summary>β of AFA-LoRA; 0 without it.</summary>
    public virtual double Beta => 0;

    /// <summary>What identifies the weights besides their names and shapes, for a state's settings.</summary>
    public abstract string Description { get; }

    /// <summary>What a report is called.</summary>
    public virtual string Title => "Fine-tuning";

    /// <summary>What a report shows first besides figures, as XHTML; may be empty.</summary>
    public virtual string Section => "";

    /// <summary>Trainable parameters by module, for reports.</summary>
    public abstract IReadOnlyList<(string Module, long Parameters)> ByModule { get; }

    /// <summary>The optimizer's groups.</summary>
    public abstract IReadOnlyList<ParameterGroup> Groups(FineTuningOptions options);

    /// <summary>Gradients of tables of which a step reads few rows; taken once after the backward passes.</summary>
    public virtual IReadOnlyList<SparseGradient> TakeSparseGradients() => [];

    /// <summary>Sets what depends on the step (β).</summary>
    public virtual void StepTo(long step, long totalSteps)
    {
    }

    /// <summary>Writes the result into a folder that is there and empty.</summary>
    public abstract void Write(string folder);

    public abstract void Dispose();
}
