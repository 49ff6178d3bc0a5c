using System.Globalization;
using System.Text.RegularExpressions;

namespace LongCat.ML.Checkpoints;

internal static partial class FusedExperts
{
    /// <summary>One pair of matrices for all experts of a layer and parameter, and the configuration that says so.</summary>
    /// <param name="adapter">What messages call the adapter.</param>
    /// <param name="config">The adapter's configuration.</param>
    /// <param name="matrices">All matrices, experts apart.</param>
    /// <param name="counts">How many experts each parameter had in the file that the adapter was read from.</param>
    /// <param name="model">The base model's config; null to go by <paramref name="counts"/>.</param>
    public static (PeftConfig Config, IReadOnlyList<AdapterMatrix> Matrices) Join(
        string adapter, PeftConfig config, IReadOnlyList<AdapterMatrix> matrices, IReadOnlyDictionary<string, int> counts, ModelConfig? model)
    {
        if (config.UseDora || config.LoraBias)
        {
            throw new AdapterException(adapter, "has magnitudes or biases (use_dora, lora_bias), which PEFT does not have for fused experts; save it per expert");
        }

        List<AdapterMatrix> result = [];
        Dictionary<string, Dictionary<int, Dictionary<string, AdapterMatrix>>> layers = new(StringComparer.Ordinal);
        foreach (AdapterMatrix matrix in matrices)
        {
            if (!TrySplit(matrix.Module, out string experts, out int expert, out string projection))
            {
                result.Add(matrix);
                continue;
            }

            string name = projection switch { Gate or "w1" => Gate, Up or "w3" => Up, Down or "w2" => Down, _ => throw new AdapterException(adapter, matrix.Module, "is no gate, up or down projection of an expert") };
            string parameter = $"{ParameterPath(experts)}.{(name == Down ? Down : GateUp)}";
            if (!layers.TryGetValue(parameter, out Dictionary<int, Dictionary<string, AdapterMatrix>>? layer))
            {
                layers.Add(parameter, layer = []);
            }

            if (!layer.TryGetValue(expert, out Dictionary<string, AdapterMatrix>? parts))
            {
                layer.Add(expert, parts = new Dictionary<string, AdapterMatrix>(StringComparer.Ordinal));
            }

            parts.Add(name, matrix);
        }

        if (layers.Count == 0)
        {
            return (config, result);
        }

        Dictionary<string, Dictionary<int, AdapterMatrix>> wholes = layers.ToDictionary(
            l => l.Key, l => l.Value.ToDictionary(e => e.Key, e => Single(e.Value, $"{l.Key} of expert {e.Key}")), StringComparer.Ordinal);
        bool asRead = wholes.Keys.All(counts.ContainsKey) && wholes.All(w => w.Value.Values.All(m => m.Rank == config.RankOf(w.Key)));
        PeftConfig stored = asRead ? config : Configure(adapter, config, wholes, result.Count > 0);
        bool both = wholes.Keys.Any(k => k.EndsWith(GateUp, StringComparison.Ordinal)) && wholes.Keys.Any(k => k.EndsWith(Down, StringComparison.Ordinal));
        foreach ((string parameter, Dictionary<int, AdapterMatrix> experts) in wholes)
        {
            bool gateUp = parameter.EndsWith(GateUp, StringComparison.Ordinal);
            int count = Count(adapter, parameter, gateUp, counts, model);
            if (experts.Keys.Max() is var last && last >= count)
            {
                throw new AdapterException(adapter, parameter, $"has matrices for expert {last}, and the model {count} experts");
            }

            // The first parameter in the model's order is wrapped first, so its matrices lie one level further in when both are targets.
            string module = parameter[..parameter.LastIndexOf('.')] + (both && gateUp ? ".base_layer" : "");
            result.Add(Stack(module, experts, count, stored.RankOf(parameter), stored.ScaleOf(parameter)));
        }

        return (stored, result);
    }

    /// <summary>The configuration of the same adapter with experts apart.</summary>
    public static PeftConfig Apart(PeftConfig config, IReadOnlyList<AdapterMatrix> matrices)
    {
        Dictionary<string, int> ranks = new(StringComparer.Ordinal);
        Dictionary<string, double> alphas = new(StringComparer.Ordinal);
        PeftConfig apart = config with { TargetParameters = null, RankPattern = null, AlphaPattern = null, Targets = AdapterTargets.Names(matrices.Select(m => m.Module)) };
        foreach (AdapterMatrix matrix in matrices)
        {
            if (matrix.Rank != apart.Rank)
            {
                ranks.Add(Regex.Escape(matrix.Module), matrix.Rank);
            }

            double alpha = Alpha(matrix.Scale, matrix.Rank, config.UseRsLora);
            if (Math.Abs(alpha - apart.Alpha) > 1e-9 * Math.Abs(alpha))
            {
                alphas.Add(Regex.Escape(matrix.Module), alpha);
            }
        }

        return apart with { RankPattern = ranks, AlphaPattern = alphas };
    }

    /// <summary>Gate and up as one matrix of both outputs; a projection alone as it is, or beside zeros.</summary>
    private static AdapterMatrix Single(Dictionary<string, AdapterMatrix> parts, string module)
    {
        if (parts.TryGetValue(Down, out AdapterMatrix? down))
        {
            return down;
        }

        AdapterMatrix? gate = parts.GetValueOrDefault(Gate), up = parts.GetValueOrDefault(Up);
        AdapterMatrix any = gate ?? up!;
        bool shared = gate is null || up is null || (gate.Scale == up.Scale && gate.A.AsSpan().SequenceEqual(up.A));
        int rank = shared ? any.Rank : gate!.Rank + up!.Rank;
        float[] b = new float[2 * any.Out * rank];
        Place(gate, b, rank, 0, 0, any.Scale);
        Place(up, b, rank, any.Out, shared ? 0 : gate!.Rank, any.Scale);
        return any with { Module = module, Rank = rank, Out = 2 * any.Out, A = shared ? any.A : [.. gate!.A, .. up!.A], B = b };
    }

    private static void Place(AdapterMatrix? matrix, float[] b, int rank, int firstRow, int firstColumn, double scale)
    {
        for (int o = 0; matrix is not null && o < matrix.Out; o++)
        {
            for (int k = 0; k < matrix.Rank; k++)
            {
                b[((firstRow + o) * rank) + firstColumn + k] = Scaled(matrix.B[(o * matrix.Rank) + k], matrix.Scale, scale);
            }
        }
    }

    private static AdapterMatrix Stack(string module, Dictionary<int, AdapterMatrix> experts, int count, int rank, double scale)
    {
        AdapterMatrix any = experts.Values.First();
        float[] a = new float[checked(count * rank * any.In)];
        float[] b = new float[checked(any.Out * rank * count)];
        foreach ((int e, AdapterMatrix matrix) in experts)
        {
            matrix.A.CopyTo(a, e * rank * any.In);
            for (int o = 0; o < any.Out; o++)
            {
                for (int k = 0; k < matrix.Rank; k++)
                {
                    b[(o * rank * count) + (k * count) + e] = Scaled(matrix.B[(o * matrix.Rank) + k], matrix.Scale, scale);
                }
            }
        }

        return any with { Module = module, Rank = rank * count, Scale = scale, A = a, B = b };
    }

    private static float Scaled(float value, double from, double to) => from == to ? value : (float)(value * (from / to));

    private static PeftConfig Configure(string adapter, PeftConfig config, Dictionary<string, Dictionary<int, AdapterMatrix>> wholes, bool others)
    {
        Dictionary<string, int> ranks = new(config.RankPattern ?? new Dictionary<string, int>(), StringComparer.Ordinal);
        Dictionary<string, double> alphas = new(config.AlphaPattern ?? new Dictionary<string, double>(), StringComparer.Ordinal);
        string[] names = [.. wholes.Keys.Select(Short).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];

        // Dropout between A and B of a parameter is impossible, PEFT says; it is a matter of training alone.
        PeftConfig stored = config with { TargetParameters = names, Targets = others ? config.Targets : null, Dropout = 0 };
        foreach (string name in names)
        {
            AdapterMatrix[] all = [.. wholes.Where(w => Short(w.Key) == name).SelectMany(w => w.Value.Values)];
            int rank = all.Max(m => m.Rank);
            if (rank != config.Rank)
            {
                ranks[Regex.Escape(name)] = rank;
            }

            double alpha = Alpha(all[0].Scale, rank, config.UseRsLora);
            if (Math.Abs(alpha - config.Alpha) > 1e-9 * Math.Abs(alpha))
            {
                alphas[Regex.Escape(name)] = alpha;
            }

            stored = stored with { RankPattern = ranks, AlphaPattern = alphas };
            foreach (string parameter in wholes.Keys.Where(k => Short(k) == name))
            {
                if (stored.RankOf(parameter) != rank || Math.Abs(stored.AlphaOf(parameter) - alpha) > 1e-9 * Math.Abs(alpha))
                {
                    throw new AdapterException(adapter, parameter, "is matched by a key of rank_pattern or alpha_pattern that means single experts; save the adapter per expert");
                }
            }
        }

        return stored;
    }

    /// <summary><c>mlp.experts.down_proj</c> of <c>model.layers.0.mlp.experts.down_proj</c>.</summary>
    private static string Short(string parameter) => string.Join('.', parameter.Split('.')[^3..]);

    private static double Alpha(double scale, int rank, bool rsLora)
    {
        double alpha = scale * (rsLora ? Math.Sqrt(rank) : rank);
        return Math.Abs(alpha - Math.Round(alpha)) < 1e-9 * Math.Abs(alpha) ? Math.Round(alpha) : alpha;
    }

    private static int Count(string adapter, string parameter, bool gateUp, IReadOnlyDictionary<string, int> counts, ModelConfig? model) => model switch
    {
        LongcatFlashConfig flash => flash.NumRoutedExperts + (gateUp ? flash.NumZeroExperts : 0),
        DecoderConfig { Experts: { } mixture } => mixture.NumExperts,
        not null => throw new AdapterException(adapter, parameter, $"is a parameter of experts, and the model ({model.Architecture}) has none"),
        null => counts.TryGetValue(parameter, out int count) ? count
            : throw new AdapterException(adapter, parameter, string.Create(CultureInfo.InvariantCulture, $"cannot be stored for all experts without knowing how many there are; give the base model's config")),
    };
}
