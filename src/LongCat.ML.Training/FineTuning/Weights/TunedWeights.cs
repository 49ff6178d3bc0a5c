using System.Runtime.InteropServices;
using LongCat.ML.Modules;
using LongCat.ML.Training.Optimization;
using TorchSharp;
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

    /// <summary>The values of one parameter.</summary>
    public static Span<float> Values(Parameter parameter) => MemoryMarshal.Cast<byte, float>(parameter.bytes);

    /// <summary>A copy of all values, in the order of <see cref="Parameters"/>.</summary>
    public float[][] Copy(float[][]? into = null)
    {
        into ??= [.. Parameters.Select(p => new float[p.Value.NumberOfElements])];
        for (int i = 0; i < into.Length; i++)
        {
            Values(Parameters[i].Value).CopyTo(into[i]);
        }

        return into;
    }

    /// <summary>Puts a copy back.</summary>
    public void Restore(float[][] copy)
    {
        for (int i = 0; i < copy.Length; i++)
        {
            copy[i].CopyTo(Values(Parameters[i].Value));
        }
    }

    public abstract void Dispose();
}
