using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

public sealed partial record ExportOptions
{
    /// <summary>Refuses values out of range and options that contradict each other, before anything is opened.</summary>
    /// <exception cref="ArgumentException">Names the option, its value and what goes with it.</exception>
    internal void Check()
    {
        if (LatentNormEps is double epsilon && !(epsilon > 0 && double.IsFinite(epsilon)))
        {
            throw Wrong(nameof(LatentNormEps), epsilon, $"{nameof(LatentNormEps)} is {epsilon}, expected a positive number");
        }

        if (Int4BlockSize is not (16 or 32 or 64 or 128 or 256))
        {
            throw Wrong(nameof(Int4BlockSize), Int4BlockSize, $"{nameof(Int4BlockSize)} is {Int4BlockSize}, expected 16, 32, 64, 128 or 256");
        }

        if (AdapterInputs is not null && Probes)
        {
            throw Wrong(nameof(AdapterInputs), AdapterInputs, $"{nameof(AdapterInputs)} do not go with {nameof(Probes)}: calibration sees the model without adapters");
        }

        if (Adapter is not null && string.IsNullOrWhiteSpace(Adapter))
        {
            throw new ArgumentException($"{nameof(Adapter)} is blank, expected an adapter's folder, or null for none", nameof(Adapter));
        }

        if (Operators == OperatorSet.Standard)
        {
            CheckStandard();
        }
        else if (Precision == WeightPrecision.Int4)
        {
            throw Wrong(nameof(Precision), Precision, "int4 weights go with standard operators (--ops standard); the longcat operators take f32, bf16 or w4a8");
        }

        if (Probes && (Operators == OperatorSet.Standard || Precision is not (null or WeightPrecision.F32)))
        {
            throw Wrong(nameof(Probes), Probes, $"{nameof(Probes)} are those of a float32 export with the longcat operators, not of {Precision ?? WeightPrecision.F32} with {Operators} operators");
        }

        if (SparseVerification && Probes)
        {
            throw Wrong(nameof(SparseVerification), SparseVerification, $"{nameof(SparseVerification)} does not go with {nameof(Probes)}: calibration sees the model with all of its context");
        }

        if (Precision != WeightPrecision.W4A8 && (Quantization is not null || Statistics is not null))
        {
            string option = Quantization is not null ? nameof(Quantization) : nameof(Statistics);
            throw Wrong(option, Precision, $"{option} goes with {nameof(Precision)} {WeightPrecision.W4A8}, not with {(Precision is { } other ? other : "the checkpoint's own")}");
        }
    }

    private void CheckStandard()
    {
        if (Precision == WeightPrecision.BF16)
        {
            throw Wrong(nameof(Precision), Precision, "ONNX Runtime computes nothing in bfloat16 on the CPU, so an export with standard operators is f32 or int4");
        }

        if (Precision == WeightPrecision.W4A8)
        {
            throw Wrong(nameof(Precision), Precision, "w4a8 weights go with the longcat operators (--ops longcat); an export with standard operators is f32 or int4");
        }

        if (CacheType != CacheType.Float32)
        {
            throw Wrong(nameof(CacheType), CacheType, "an export with standard operators has float32 caches");
        }

        if (SparseVerification)
        {
            throw Wrong(nameof(SparseVerification), SparseVerification, "sparse verification goes with the longcat operators (--ops longcat), which skip what is left out");
        }
    }

    private static ArgumentOutOfRangeException Wrong(string option, object? value, string message) => new(option, value, message);
}
