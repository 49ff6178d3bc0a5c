using LongCat.ML.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <content>To and from PEFT's form.</content>
public sealed partial class AdaptedModel
{
    private PeftAdapter? _source;

    /// <summary>The adapter as it is now, in PEFT's form: a copy. One that began with PiSSA becomes plain LoRA of twice the rank, which goes with the published weights.</summary>
    /// <returns>The adapter, to be disposed by the caller.</returns>
    /// <exception cref="AdapterException">A value is not finite: the training diverged.</exception>
    public PeftAdapter ToPeft()
    {
        List<AdapterMatrix> modules = [];
        foreach (AdaptedProjection p in _projections)
        {
            modules.Add(Matrix(p.Path, AdapterKind.Linear, p.Type, p.Adapter.A, p.Adapter.B, p.Adapter.Magnitude, p.Adapter.Bias) with { In = (int)p.Projection.InFeatures, Out = (int)p.Projection.OutFeatures });
        }

        foreach (AdaptedTable t in _tables)
        {
            modules.Add(Matrix(t.Path, AdapterKind.Embedding, t.Type, t.Adapter.A, t.Adapter.B, t.Adapter.Magnitude, bias: null) with { In = (int)t.Adapter.A.shape[1], Out = (int)t.Adapter.B.shape[0] });
        }

        AdapterTensor[] saved = [.. _saved.Select(tensor => new AdapterTensor(tensor.Name, tensor.Parameter.shape, Values(tensor.Parameter), tensor.Type))];
        AfaState? afa = _afa?.ToState(_clock.Step, _clock.TotalSteps, _clock.Beta);
        string name = _source?.Name ?? "the adapter";
        WeightPrecision? trainedOn = !_trainable ? _source?.TrainedOn : Model.BaseWeights switch { BaseWeights.W4A8 => WeightPrecision.W4A8, BaseWeights.BFloat16 => WeightPrecision.BF16, _ => null };
        if (_projections.FirstOrDefault()?.Initial is null)
        {
            return PeftAdapter.Create(_config, modules, saved, afa, name, trainedOn);
        }

        Dictionary<string, AdapterMatrix> initial = new(StringComparer.Ordinal);
        foreach (AdaptedProjection p in _projections)
        {
            initial.Add(p.Path, modules.Single(m => m.Module == p.Path) with { A = p.Initial!.Value.A, B = p.Initial.Value.B });
        }

        using PeftAdapter trained = PeftAdapter.Create(_config, modules, saved, afa, name, trainedOn);
        return trained.SubtractInitial(initial);
    }

    /// <summary>Takes over the values of an adapter of the same form, as <see cref="ToPeft"/> gave it, with the step and β of its annealing.</summary>
    /// <param name="adapter">The adapter, which stays the caller's.</param>
    /// <exception cref="AdapterException">It has other modules, ranks or tensors.</exception>
    /// <exception cref="InvalidOperationException">The adapter is merged.</exception>
    public void LoadState(PeftAdapter adapter)
    {
        ArgumentNullException.ThrowIfNull(adapter);
        if (IsMerged)
        {
            throw new InvalidOperationException("the adapter is merged into the weights; unmerge it before its values are replaced");
        }

        string[] own = [.. _projections.Select(p => p.Path), .. _tables.Select(t => t.Path), .. _saved.Select(s => s.Name)];
        string[] given = [.. adapter.Modules.Keys, .. adapter.SavedModules.Keys];
        if (own.Except(given).FirstOrDefault() is { } missing)
        {
            throw new AdapterException(adapter.Name, missing, $"is not in the state, which has {given.Length} modules and tensors, expected {own.Length}; is it a state of another run?");
        }

        if (given.Except(own).FirstOrDefault() is { } more)
        {
            throw new AdapterException(adapter.Name, more, $"is not in the adapter, which has {own.Length} modules and tensors; is it a state of another run?");
        }

        using var scope = NewDisposeScope();
        foreach (AdaptedProjection p in _projections)
        {
            Load(p, adapter.Modules[p.Path], adapter.Name);
        }

        foreach (AdaptedTable t in _tables)
        {
            AdapterMatrix matrix = adapter.Modules[t.Path];
            RequireRank(matrix, (int)t.Adapter.A.shape[0], adapter.Name);
            Fill(t.Adapter.A, matrix.A);
            Fill(t.Adapter.B, matrix.B);
            if (t.Adapter.Magnitude is not null)
            {
                Fill(t.Adapter.Magnitude, matrix.Magnitude!);
            }
        }

        foreach (TrainedTensor tensor in _saved)
        {
            Fill(tensor.Parameter, adapter.SavedModules[tensor.Name].ReadFloat32());
            tensor.Rows?.Clear();
        }

        if (adapter.Afa is { } afa)
        {
            _clock.StepTo(afa.Step, afa.TotalSteps, afa.Beta);
        }
    }

    private static void Load(AdaptedProjection p, AdapterMatrix matrix, string source)
    {
        int rank = (int)p.Adapter.A.shape[0];
        if (p.Initial is null)
        {
            RequireRank(matrix, rank, source);
            Fill(p.Adapter.A, matrix.A);
            Fill(p.Adapter.B, matrix.B);
            if (p.Adapter.Magnitude is not null)
            {
                Fill(p.Adapter.Magnitude, matrix.Magnitude!);
            }

            if (p.Adapter.Bias is not null)
            {
                Fill(p.Adapter.Bias, matrix.Bias!);
            }

            return;
        }

        // The first half is what was trained, the second what it began with: the weight is split again with exactly these values.
        RequireRank(matrix, 2 * rank, source);
        var (a, b) = (new float[rank * matrix.In], new float[matrix.Out * rank]);
        float[] initialA = [.. matrix.A.AsSpan(rank * matrix.In)];
        float[] initialB = new float[matrix.Out * rank];
        matrix.A.AsSpan(0, rank * matrix.In).CopyTo(a);
        for (int o = 0; o < matrix.Out; o++)
        {
            for (int k = 0; k < rank; k++)
            {
                b[(o * rank) + k] = matrix.B[(o * 2 * rank) + k];
                initialB[(o * rank) + k] = -matrix.B[(o * 2 * rank) + rank + k];
            }
        }

        p.Initial = (initialA, initialB);
        Fill(p.Adapter.A, initialA);
        Fill(p.Adapter.B, initialB);
        p.SplitOff();
        Fill(p.Adapter.A, a);
        Fill(p.Adapter.B, b);
    }

    private static void RequireRank(AdapterMatrix matrix, int rank, string source)
    {
        if (matrix.Rank != rank)
        {
            throw new AdapterException(source, matrix.Module, $"has rank {matrix.Rank}, expected {rank}; is it a state of another run?");
        }
    }

    private AdapterMatrix Matrix(string module, AdapterKind kind, TensorType type, Tensor a, Tensor b, Tensor? magnitude, Tensor? bias) => new()
    {
        Module = module,
        Kind = kind,
        Type = type,
        Rank = (int)a.shape[0],
        Scale = _config.ScaleOf(module),
        A = Values(a),
        B = Values(b),
        Magnitude = magnitude is null ? null : Values(magnitude),
        Bias = bias is null ? null : Values(bias),
        In = 1,
        Out = 1,
    };
}
