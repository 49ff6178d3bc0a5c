namespace TorchSharp;

public static partial class torch
{
    public partial class Tensor
    {
        public static Tensor operator +(Tensor left, Tensor right) => left.add(right);
        public static Tensor operator +(Tensor left, Scalar right) => left.add(right);
        public static Tensor operator +(Scalar left, Tensor right) => right.add(left);
        public static Tensor operator +(Tensor left, int right) => left.add(right);
        public static Tensor operator +(Tensor left, long right) => left.add(right);
        public static Tensor operator +(Tensor left, float right) => left.add(right);
        public static Tensor operator +(Tensor left, double right) => left.add(right);
        public static Tensor operator +(int left, Tensor right) => right.add(left);
        public static Tensor operator +(long left, Tensor right) => right.add(left);
        public static Tensor operator +(float left, Tensor right) => right.add(left);
        public static Tensor operator +(double left, Tensor right) => right.add(left);
        public static Tensor operator *(Tensor left, Tensor right) => left.mul(right);
        public static Tensor operator *(Tensor left, Scalar right) => left.mul(right);
        public static Tensor operator *(Scalar left, Tensor right) => right.mul(left);
        public static Tensor operator *(Tensor left, int right) => left.mul(right);
        public static Tensor operator *(Tensor left, long right) => left.mul(right);
        public static Tensor operator *(Tensor left, float right) => left.mul(right);
        public static Tensor operator *(Tensor left, double right) => left.mul(right);
        public static Tensor operator *(int left, Tensor right) => right.mul(left);
        public static Tensor operator *(long left, Tensor right) => right.mul(left);
        public static Tensor operator *(float left, Tensor right) => right.mul(left);
        public static Tensor operator *(double left, Tensor right) => right.mul(left);
        public static Tensor operator -(Tensor tensor) => tensor.neg();
        public static Tensor operator -(Tensor left, Tensor right) => left.sub(right);
        public static Tensor operator -(Tensor left, Scalar right) => left.sub(right);
        public static Tensor operator -(Scalar left, Tensor right) => right.negative().add(left);
        public static Tensor operator -(Tensor left, int right) => left.sub(right);
        public static Tensor operator -(Tensor left, long right) => left.sub(right);
        public static Tensor operator -(Tensor left, float right) => left.sub(right);
        public static Tensor operator -(Tensor left, double right) => left.sub(right);
        public static Tensor operator -(int left, Tensor right) => right.negative().add(left);
        public static Tensor operator -(long left, Tensor right) => right.negative().add(left);
        public static Tensor operator -(float left, Tensor right) => right.negative().add(left);
        public static Tensor operator -(double left, Tensor right) => right.negative().add(left);
        public static Tensor operator /(Tensor left, Tensor right) => left.div(right);
        public static Tensor operator /(Tensor left, Scalar right) => left.div(right);
        public static Tensor operator /(Scalar left, Tensor right) => right.reciprocal().mul(left);
        public static Tensor operator /(Tensor left, int right) => left.div(right);
        public static Tensor operator /(Tensor left, long right) => left.div(right);
        public static Tensor operator /(Tensor left, float right) => left.div(right);
        public static Tensor operator /(Tensor left, double right) => left.div(right);
        public static Tensor operator /(int left, Tensor right) => right.reciprocal().mul(left);
        public static Tensor operator /(long left, Tensor right) => right.reciprocal().mul(left);
        public static Tensor operator /(float left, Tensor right) => right.reciprocal().mul(left);
        public static Tensor operator /(double left, Tensor right) => right.reciprocal().mul(left);
        public static Tensor operator %(Tensor left, Tensor right) => left.remainder(right);
        public static Tensor operator %(Tensor left, Scalar right) => left.remainder(right);
        public static Tensor operator %(Tensor left, int right) => left.remainder(right);
        public static Tensor operator %(Tensor left, long right) => left.remainder(right);
        public static Tensor operator %(Tensor left, float right) => left.remainder(right);
        public static Tensor operator %(Tensor left, double right) => left.remainder(right);
        public static Tensor operator &(Tensor left, Tensor right) => left.bitwise_and(right);
        public static Tensor operator |(Tensor left, Tensor right) => left.bitwise_or(right);
        public static Tensor operator ^(Tensor left, Tensor right) => left.bitwise_xor(right);
        public static Tensor operator ~(Tensor left) => left.bitwise_not();
        public static Tensor operator ==(Tensor left, Tensor right) => left.eq(right);
        public static Tensor operator ==(Tensor left, Scalar right) => left.eq(right);
        public static Tensor operator ==(Scalar left, Tensor right) => right.eq(left);
        public static Tensor operator !=(Tensor left, Tensor right) => left.ne(right);
        public static Tensor operator !=(Tensor left, Scalar right) => left.ne(right);
        public static Tensor operator !=(Scalar left, Tensor right) => right.ne(left);
        public static Tensor operator <(Tensor left, Tensor right) => left.lt(right);
        public static Tensor operator <(Tensor left, Scalar right) => left.lt(right);
        public static Tensor operator <(Scalar left, Tensor right) => right.gt(left);
        public static Tensor operator <=(Tensor left, Tensor right) => left.le(right);
        public static Tensor operator <=(Tensor left, Scalar right) => left.le(right);
        public static Tensor operator <=(Scalar left, Tensor right) => right.ge(left);
        public static Tensor operator >(Tensor left, Tensor right) => left.gt(right);
        public static Tensor operator >(Tensor left, Scalar right) => left.gt(right);
        public static Tensor operator >(Scalar left, Tensor right) => right.lt(left);
        public static Tensor operator >=(Tensor left, Tensor right) => left.ge(right);
        public static Tensor operator >=(Tensor left, Scalar right) => left.ge(right);
        public static Tensor operator >=(Scalar left, Tensor right) => right.le(left);

        // With this one a number prefers Scalar to Tensor where both would do.
        public static implicit operator Tensor(Scalar scalar) => torch.full([], scalar, scalar.Type);

        public static implicit operator Tensor(byte value) => torch.tensor(value);
        public static implicit operator Tensor(int value) => torch.tensor(value);
        public static implicit operator Tensor(long value) => torch.tensor(value);
        public static implicit operator Tensor(float value) => torch.tensor(value);
        public static implicit operator Tensor(double value) => torch.tensor(value);
        public static implicit operator Tensor(bool value) => torch.tensor(value);
        public static implicit operator Tensor(int[] value) => torch.tensor(value);
        public static implicit operator Tensor(long[] value) => torch.tensor(value);
        public static implicit operator Tensor(float[] value) => torch.tensor(value);
        public static implicit operator Tensor(double[] value) => torch.tensor(value);
        public static implicit operator Tensor(bool[] value) => torch.tensor(value);

        public Tensor eq(Tensor target) => Interop.Ops.eq__Tensor.Call(this, target);
        public Tensor eq(Scalar target) => Interop.Ops.eq__Scalar.Call(this, target);
        public Tensor ne(Tensor target) => Interop.Ops.ne__Tensor.Call(this, target);
        public Tensor ne(Scalar target) => Interop.Ops.ne__Scalar.Call(this, target);
        public Tensor lt(Tensor target) => Interop.Ops.lt__Tensor.Call(this, target);
        public Tensor lt(Scalar target) => Interop.Ops.lt__Scalar.Call(this, target);
        public Tensor le(Tensor target) => Interop.Ops.le__Tensor.Call(this, target);
        public Tensor le(Scalar target) => Interop.Ops.le__Scalar.Call(this, target);
        public Tensor gt(Tensor target) => Interop.Ops.gt__Tensor.Call(this, target);
        public Tensor gt(Scalar target) => Interop.Ops.gt__Scalar.Call(this, target);
        public Tensor ge(Tensor target) => Interop.Ops.ge__Tensor.Call(this, target);
        public Tensor ge(Scalar target) => Interop.Ops.ge__Scalar.Call(this, target);
        public Tensor not_equal(Tensor target) => ne(target);
        public Tensor logical_and(Tensor other) => Interop.Ops.logical_and.Call(this, other);
        public Tensor logical_and_(Tensor other) => Interop.Ops.logical_and_.InPlace(this, other);
        public Tensor logical_or(Tensor other) => Interop.Ops.logical_or.Call(this, other);
        public Tensor logical_or_(Tensor other) => Interop.Ops.logical_or_.InPlace(this, other);
        public Tensor logical_xor(Tensor other) => Interop.Ops.logical_xor.Call(this, other);
        public Tensor logical_not() => Interop.Ops.logical_not.Call(this);
        public Tensor logical_not_() => Interop.Ops.logical_not_.InPlace(this);
        public Tensor isfinite() => Interop.Ops.isfinite.Call(this);
        public Tensor isnan() => Interop.Ops.isnan.Call(this);
        public Tensor isinf() => Interop.Ops.isinf.Call(this);
        public Tensor isclose(Tensor other, double rtol = 1e-05, double atol = 1e-08, bool nanEqual = false) => Interop.Ops.isclose.Call(this, other, rtol, atol, nanEqual);
        public Tensor isin(Tensor test_elements, bool assumeUnique = false, bool invert = false) => Interop.Ops.isin__Tensor_Tensor.Call(this, test_elements, assumeUnique, invert);

        public bool allclose(Tensor target, double rtol = 1e-05, double atol = 1e-08, bool equal_nan = false)
        {
            using Tensor close = isclose(target, rtol, atol, equal_nan);
            using Tensor all = close.all();
            return all.ToBoolean();
        }

        public bool Equals(Tensor target)
        {
            if (!shape.SequenceEqual(target.shape))
            {
                return false;
            }

            using Tensor same = eq(target);
            using Tensor all = same.all();
            return all.ToBoolean();
        }
    }
}
