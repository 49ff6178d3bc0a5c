using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>Cosines or sines of every position's angles, [positions, dim / 2], the multiplier of context extension contained. The angle is position · frequency in float32.</summary>
internal sealed class RotaryTable(string key, RopeConfig rope, int dim, int positions, bool sine) : TensorSource(key, ElementType.Float, [positions, dim / 2])
{
    public override void CopyTo(Stream destination)
    {
        float[] frequencies = rope.InverseFrequencies(dim);
        double multiplier = rope.Multiplier;
        float[] row = new float[frequencies.Length];
        for (int position = 0; position < positions; position++)
        {
            for (int i = 0; i < row.Length; i++)
            {
                float angle = position * frequencies[i];
                row[i] = (float)(multiplier * (sine ? Math.Sin(angle) : Math.Cos(angle)));
            }

            destination.Write(MemoryMarshal.AsBytes<float>(row));
        }
    }
}
