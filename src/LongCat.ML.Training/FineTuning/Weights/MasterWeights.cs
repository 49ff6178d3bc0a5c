using System.Runtime.InteropServices;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Training.FineTuning;

/// <summary>
/// The float32 values that the optimizer changes. On the CPU these are the parameters themselves; where they live on another device, copies in this process's memory, from which the
/// device's are refreshed after an update. An adapter is small, so the traffic is too.
/// </summary>
internal sealed class MasterWeights : IDisposable
{
    private readonly IReadOnlyList<(string Name, Parameter Value)> _live;
    private readonly bool _copied;

    /// <param name="live">The parameters that the model reads.</param>
    /// <param name="copied">Whether copies are needed: always when the parameters are not on the CPU.</param>
    public MasterWeights(IReadOnlyList<(string Name, Parameter Value)> live, bool copied)
    {
        _live = live;
        _copied = copied;
        Parameters = copied ? [.. live.Select(p => (p.Name, Copied(p.Value)))] : live;
    }

    /// <summary>Names and float32 CPU parameters in the order of the live ones.</summary>
    public IReadOnlyList<(string Name, Parameter Value)> Parameters { get; }

    /// <summary>Takes the gradients over, and clears the live ones.</summary>
    public void TakeGradients()
    {
        for (int i = 0; _copied && i < _live.Count; i++)
        {
            using var gradient = _live[i].Value.grad;
            if (gradient is not null)
            {
                using var here = gradient.to(ScalarType.Float32).cpu();
                Parameters[i].Value.grad = here.contiguous();
                _live[i].Value.grad = null;
            }
        }
    }

    /// <summary>Gives the live parameters the values here.</summary>
    public void Refresh()
    {
        using var frozen = no_grad();
        for (int i = 0; _copied && i < _live.Count; i++)
        {
            _live[i].Value.copy_(Parameters[i].Value);
        }
    }

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

        Refresh();
    }

    public void Dispose()
    {
        foreach (var (_, value) in _copied ? Parameters : [])
        {
            value.Dispose();
        }
    }

    private static Parameter Copied(Parameter parameter)
    {
        using var scope = NewDisposeScope();
        var copy = new Parameter(parameter.detach().to(ScalarType.Float32).cpu().clone(), requires_grad: true);
        copy.DetachFromDisposeScope();
        return copy;
    }
}
