!> Precision of the model: wp is the one kind parameter, chosen by PREC=single|double in the Makefile.
module par_kind
   use, intrinsic :: iso_fortran_env, only: real32, real64, int64
   implicit none
   private

   integer, parameter, public :: sp = real32   !< 32-bit real
   integer, parameter, public :: dp = real64   !< 64-bit real
   integer, parameter, public :: i8 = int64    !< 64-bit integer: seconds
#if defined SINGLE
   integer, parameter, public :: wp = sp       !< working precision
#else
   integer, parameter, public :: wp = dp       !< working precision
#endif
end module par_kind
