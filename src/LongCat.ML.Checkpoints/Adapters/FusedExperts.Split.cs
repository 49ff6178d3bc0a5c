namespace LongCat.ML.Checkpoints;

internal static partial class FusedExperts
{
    /// <summary>The matrices of each expert's projections out of the pairs that a file has for all experts of a layer.</summary>
    /// <param name="file">The adapter's file.</param>
    /// <param name="experts">The experts' path, <c>model.layers.0.mlp.experts</c>.</param>
    /// <param name="parts">What the file has under that path, and one level further in where two parameters were targets.</param>
    /// <param name="config">The adapter's configuration.</param>
    /// <param name="counts">Told how many experts each parameter has.</param>
    public static IEnumerable<AdapterMatrix> Split(SafetensorsFile file, string experts, ModuleParts[] parts, PeftConfig config, Dictionary<string, int> counts)
    {
        string[] targets = [.. new[] { GateUp, Down }.Where(p => IsTarget($"{experts}.{p}", config.TargetParameters!))];
        if (targets.Length == 0 || targets.Length != parts.Length)
        {
            throw new AdapterException(file.Path, experts, $"has {parts.Length} pairs of matrices for all experts, expected {targets.Length}: target_parameters names "
                + (targets.Length == 0 ? $"neither {GateUp} nor {Down}" : string.Join(" and ", targets)));
        }

        if (config.UseDora || config.LoraBias)
        {
            throw new AdapterException(file.Path, experts, "has matrices for all experts and the configuration sets use_dora or lora_bias, which do not go together");
        }

        (TensorEntry A, TensorEntry B)[] pairs = [.. parts.Select(p => p.Pair(file, ModulePart.A, ModulePart.B))];
        List<AdapterMatrix> result = [];
        for (int i = 0; i < pairs.Length; i++)
        {
            (TensorEntry a, TensorEntry b) = pairs[i];
            string parameter = targets.Length == 1 ? targets[0] : WhichOf(file, experts, pairs[i], pairs[1 - i]);
            string path = $"{experts}.{parameter}";
            int rank = config.RankOf(path);
            (int rows, int columns, int output) = ((int)a.Shape[0], (int)a.Shape[1], (int)b.Shape[0]);
            if (rows % rank != 0 || b.Shape[1] != rows || (parameter == GateUp && output % 2 != 0))
            {
                throw new AdapterException(file.Path, path, $"has A {TensorEntry.ShapeText(a.Shape)} and B {TensorEntry.ShapeText(b.Shape)}, expected [{rank} × experts, in] and "
                    + $"[out, {rank} × experts] by r and rank_pattern{(parameter == GateUp ? ", out even (gate and up)" : "")}");
            }

            int count = rows / rank;
            counts[path] = count;
            AdapterMatrix whole = new()
            {
                Module = path, Rank = rank, Scale = config.ScaleOf(path), In = columns, Out = output, Type = a.Type, A = file.ReadFloat32(a.Name), B = file.ReadFloat32(b.Name),
            };
            for (int e = 0; e < count; e++)
            {
                result.AddRange(parameter == Down
                    ? [Slice(whole, count, e, $"{experts}.{e}.{Down}", 0, output, null)]
                    : GateAndUp(whole, count, e, experts));
            }
        }

        return result;
    }

    private static AdapterMatrix[] GateAndUp(AdapterMatrix whole, int count, int e, string experts)
    {
        AdapterMatrix gate = Slice(whole, count, e, $"{experts}.{e}.{Gate}", 0, whole.Out / 2, null);
        return [gate, Slice(whole, count, e, $"{experts}.{e}.{Up}", whole.Out / 2, whole.Out / 2, gate.A)];
    }

    private static AdapterMatrix Slice(AdapterMatrix whole, int count, int e, string module, int firstOutput, int outputs, float[]? sharedA)
    {
        float[] b = new float[outputs * whole.Rank];
        int stride = whole.Rank * count;
        for (int o = 0; o < outputs; o++)
        {
            for (int k = 0; k < whole.Rank; k++)
            {
                b[(o * whole.Rank) + k] = whole.B[((long)(firstOutput + o) * stride) + ((long)k * count) + e];
            }
        }

        int values = whole.Rank * whole.In;
        return whole with { Module = module, Out = outputs, A = sharedA ?? whole.A.AsSpan(e * values, values).ToArray(), B = b };
    }

    /// <summary>
    /// Which of two nested parameters a pair belongs to, told by the shapes: gate and up lead from hidden to twice the inner width, down back from the inner width. Both
    /// readings cannot fit at once.
    /// </summary>
    private static string WhichOf(SafetensorsFile file, string experts, (TensorEntry A, TensorEntry B) pair, (TensorEntry A, TensorEntry B) other)
    {
        bool Fits((TensorEntry A, TensorEntry B) gateUp, (TensorEntry A, TensorEntry B) down) =>
            gateUp.B.Shape[0] == 2 * down.A.Shape[1] && gateUp.A.Shape[1] == down.B.Shape[0];

        return Fits(pair, other) ? GateUp
            : Fits(other, pair) ? Down
            : throw new AdapterException(file.Path, experts, $"has A {TensorEntry.ShapeText(pair.A.Shape)}, B {TensorEntry.ShapeText(pair.B.Shape)} and A {TensorEntry.ShapeText(other.A.Shape)}, "
                + $"B {TensorEntry.ShapeText(other.B.Shape)}, of which none leads from hidden to twice the inner width and the other back");
    }
}
